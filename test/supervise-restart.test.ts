// Restarts, readiness and the start deadline: what follows one run's end, and when it counts as started.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ProcessGroup } from '../dist/index.js';
import { type SuperviseOptions, supervise } from '../dist/supervise.js';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;

const warnings: Error[] = [];
process.on('warning', (warning) => warnings.push(warning));
afterAll(() => expect(warnings, 'listeners that pile up').toEqual([]));

function sh(script: string, options: SuperviseOptions = {}, ...args: string[]) {
  return supervise('/bin/sh', ['-c', script, ...args], { env: scenario.env, teardown, ...options });
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'procgroup-supervise-'));
  scenario.defer(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe('restart', () => {
  const quick = { backoffMs: 1, maxBackoffMs: 5 };

  it('T6: never: exit code 3 surfaces as 3, after one run', async () => {
    const outcome = await sh('exit 3').outcome;
    expect(outcome).toMatchObject({
      kind: 'exited',
      reason: 'exit',
      exit: { code: 3, signal: null },
      runs: 1,
      error: null,
    });
  });

  it('restart: on-failure: until it ends with 0', async () => {
    const script = 'echo x >> "$0"; [ $(wc -l < "$0") -ge 3 ]';
    const count = join(folder(), 'count');
    const outcome = await sh(script, { restart: { policy: 'on-failure', ...quick } }, count).outcome;
    expect(outcome).toMatchObject({ kind: 'exited', exit: { code: 0 }, runs: 3 });
    expect(readFileSync(count, 'utf8')).toBe('x\nx\nx\n');
  });

  it('restart: on-failure: a signal is a failure, 0 is none', async () => {
    const restart = { policy: 'on-failure', limit: 2, ...quick } as const;
    expect(await sh('kill -9 $$', { restart }).outcome).toMatchObject({ exit: { signal: 'SIGKILL' }, runs: 3 });
    expect(await sh('exit 0', { restart }).outcome).toMatchObject({ exit: { code: 0 }, runs: 1 });
  });

  it('restart: always, up to the limit, each run in an empty group', async () => {
    const left: number[] = [];
    const groups: ProcessGroup[] = [];
    const onRun = (group: ProcessGroup, run: number) => {
      expect(run).toBe(groups.length + 1);
      left.push(scenario.alive().filter(({ pid }) => groups.some(({ pgid }) => stat(pid)?.pgid === pgid)).length);
      groups.push(group);
    };
    const script = 'sleep 100 & sleep 100 & exit 0';
    const task = sh(script, { restart: { policy: 'always', limit: 3, ...quick }, onRun });
    expect(await task.outcome).toMatchObject({ kind: 'exited', exit: { code: 0 }, runs: 4, report: { cause: 'stop' } });
    expect(left).toEqual([0, 0, 0, 0]);
    expect(new Set(groups.map(({ pid }) => pid)).size).toBe(4);
    expect(task.group).toBeNull();
  });

  it('restart: pauses double up to the longest, and a healthy run counts anew', async () => {
    const timed = async (restart: SuperviseOptions['restart']) => {
      const { durationMs, runs } = await sh('exit 1', { restart: { policy: 'on-failure', jitter: 0, ...restart } })
        .outcome;
      return { durationMs, runs };
    };
    const doubled = await timed({ limit: 3, backoffMs: 100 });
    expect(doubled.durationMs).toBeGreaterThanOrEqual(100 + 200 + 400 - 5);
    const capped = await timed({ limit: 6, backoffMs: 100, maxBackoffMs: 10 });
    expect(capped.runs).toBe(7);
    expect(capped.durationMs).toBeLessThan(allowance(700));
    const runs: number[] = [];
    const many = sh('exit 1', {
      restart: { policy: 'on-failure', limit: 1, healthyMs: 0, backoffMs: 1 },
      onRun: (_, run) => {
        runs.push(run);
        if (run === 5) void many.stop();
      },
    });
    await many.outcome;
    expect(runs).toEqual([1, 2, 3, 4, 5]);
  });

  it('restart: jitter takes away at most its part of the pause', async () => {
    const restart = { policy: 'on-failure', limit: 1, backoffMs: 300 } as const;
    const pauses = await Promise.all(
      Array.from(
        { length: 12 },
        async () => (await sh('exit 1', { restart: { ...restart, jitter: 1 } }).outcome).durationMs,
      ),
    );
    expect(Math.max(...pauses) - Math.min(...pauses), 'they differ').toBeGreaterThan(20);
    expect((await sh('exit 1', { restart: { ...restart, jitter: 0.5 } }).outcome).durationMs).toBeGreaterThanOrEqual(
      149,
    );
  });

  it('restart: stop() ends a pause; the last run stays the outcome of what it was', async () => {
    const task = sh('exit 7', { restart: { policy: 'always', backoffMs: 600_000, maxBackoffMs: 600_000 } });
    await task.ready;
    await task.group?.gone;
    await waitUntil(() => task.group === null);
    expect(await task.stop()).toMatchObject({ kind: 'aborted', reason: 'stop', exit: { code: 7 }, runs: 1 });
  });

  it('restart: a lease that is lost between two runs ends it, and none is started', async () => {
    const lease = new AbortController();
    const task = sh('exit 7', {
      lease: lease.signal,
      restart: { policy: 'always', backoffMs: 600_000, maxBackoffMs: 600_000 },
    });
    await task.ready;
    await waitUntil(() => task.group === null);
    lease.abort(new Error('taken away'));
    const outcome = await task.outcome;
    expect(outcome).toMatchObject({ kind: 'lease-lost', reason: 'aborted', exit: { code: 7 }, runs: 1 });
    expect(outcome.error).toEqual({ name: 'Error', message: 'taken away' });
  });

  it('restart: the lease goes on over runs, and its end ends them', async () => {
    const seen: [number, boolean][] = [];
    const task = sh('exit 1', {
      restart: { policy: 'on-failure', limit: 1_000, backoffMs: 20, maxBackoffMs: 20 },
      lease: {
        leaseMs: 60_000,
        intervalMs: 30,
        beat: ({ run, pid }) => {
          seen.push([run, pid === null]);
          return { status: run > 4 ? 410 : 200 };
        },
      },
    });
    const outcome = await task.outcome;
    expect(outcome).toMatchObject({ kind: 'lease-lost', reason: 'refused' });
    expect(outcome.runs).toBeLessThan(50);
    expect(seen.at(-1)?.[0]).toBeGreaterThan(4);
  });

  it('restart: a lease that nobody renews runs out also where no run lives', async () => {
    const started = performance.now();
    const outcome = await sh('exit 1', {
      restart: { policy: 'on-failure', backoffMs: 600_000, maxBackoffMs: 600_000, jitter: 0 },
      lease: { leaseMs: 1_000, intervalMs: 50, forgivenMisses: 1_000, beat: () => false },
    }).outcome;
    expect(outcome).toMatchObject({ kind: 'lease-lost', reason: 'expired', exit: { code: 1 } });
    expect(performance.now() - started).toBeLessThan(1_000 + 250 + 2_000);
  });
});

describe('readiness', () => {
  it('ready: without the option, when it is started', async () => {
    const task = sh('sleep 100');
    expect(await task.ready).toBe(true);
    expect(task.group?.state).toBe('running');
    await task.stop();
  });

  it.each([
    ['a string', 'listening', 'stdout'],
    ['a pattern', /^listening on \d+$/, 'stdout'],
    ['a pattern with the flag g, on stderr', /listening/g, 'stderr'],
  ])('ready: by a line: %s', async (_, line, stream) => {
    const script = `echo begin; printf 'listening ' >&${stream === 'stdout' ? 1 : 2}; read go < "$0"; echo 'on 8080' >&${
      stream === 'stdout' ? 1 : 2
    }; sleep 100`;
    const gate = join(folder(), 'gate');
    execFileSync('mkfifo', [gate]);
    const lines: string[] = [];
    const task = sh(script, { ready: { line }, onLine: (text) => lines.push(text) }, gate);
    await waitUntil(() => lines.includes('begin'));
    let ready = false;
    void task.ready.then((yes) => {
      ready = yes;
    });
    await new Promise(setImmediate);
    expect(ready, 'control: half a line is none').toBe(false);
    writeFileSync(gate, 'go\n');
    expect(await task.ready).toBe(true);
    expect(lines).toContain('listening on 8080');
    await task.stop();
  });

  it('ready: a line that comes with the end counts', async () => {
    const outcome = await sh('echo done', { ready: { line: 'done' } }).outcome;
    expect(outcome).toMatchObject({ kind: 'exited', exit: { code: 0 } });
  });

  it('ready: by a TCP port', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const script = `require('net').createServer().listen(${port}, '127.0.0.1')`;
    const task = supervise(process.execPath, ['-e', script], {
      env: scenario.env,
      teardown,
      ready: { port, intervalMs: 10 },
    });
    expect(await task.ready).toBe(true);
    await task.stop();
  });

  it('ready: by a function, which may throw, reject and never settle', async () => {
    const attempts: (() => unknown)[] = [
      () => false,
      () => {
        throw new Error('not yet');
      },
      () => Promise.reject(new Error('not yet')),
      () => Promise.resolve('yes'),
    ];
    const task = sh('sleep 100', { ready: { check: () => attempts.shift()?.(), intervalMs: 1 } });
    expect(await task.ready).toBe(true);
    expect(attempts).toEqual([]);
    await task.stop();
  });

  it.each([
    ['a line', { line: 'never said' }],
    ['a port', { port: 9, host: '127.0.0.1', intervalMs: 10 }],
    ['a function', { check: () => Promise.reject(new Error('refused')), intervalMs: 10 }],
    ['a function that never settles', { check: () => new Promise(() => {}) }],
  ])('T6: never ready by %s: torn down at the start deadline, with all that it started', async (_, ready) => {
    const task = supervise(member, ['grandchild-ignores-term'], {
      env: scenario.env,
      teardown,
      ready: ready as SuperviseOptions['ready'] & object,
      startTimeoutMs: 300,
    });
    expect(await task.ready).toBe(false);
    const outcome = await task.outcome;
    expect(outcome).toMatchObject({ kind: 'start-failed', reason: 'deadline', report: { empty: true, cause: 'stop' } });
    expect(scenario.alive()).toEqual([]);
    if ('check' in ready && 'intervalMs' in ready) expect(outcome.error).toEqual({ name: 'Error', message: 'refused' });
  });

  it.each([
    ['ready in time', { ready: { line: 'ready' } }],
    ['without `ready`', {}],
  ])('T6: control: %s, it outlives the start deadline', async (_, ready) => {
    const task = supervise(member, ['sleep'], { env: scenario.env, ...ready, startTimeoutMs: 300 });
    expect(await task.ready).toBe(true);
    const later = performance.now() + 600;
    await waitUntil(() => performance.now() > later);
    expect(task.group?.state).toBe('running');
    await task.stop();
  });

  it('T6: an end before it was ready is a start that failed, with its code', async () => {
    const outcome = await sh('exit 3', { ready: { line: 'ready' } }).outcome;
    expect(outcome).toMatchObject({
      kind: 'start-failed',
      reason: 'ended',
      exit: { code: 3 },
      report: { cause: null },
    });
  });

  it('T6: starts that fail are restarted under the policy, and the last one is the outcome', async () => {
    const restart = { policy: 'on-failure', limit: 2, backoffMs: 1 } as const;
    const late = sh('sleep 100', { ready: { line: 'ready' }, startTimeoutMs: 100, restart });
    expect(await late.outcome).toMatchObject({ kind: 'start-failed', reason: 'deadline', runs: 3 });
    const missing = await supervise('/no/such/program', [], { restart }).outcome;
    expect(missing).toMatchObject({ kind: 'start-failed', reason: 'spawn', runs: 3, exit: null, report: null });
    expect(missing.error).toMatchObject({ name: 'SpawnError', code: 'ENOENT' });
  });

  it('T6: the event loop was blocked beyond the start deadline: a line that had come counts', async () => {
    const answer = await runNodeJson<{ ready: boolean; kind: string }>(
      {
        source: `
          const { supervise } = await import(paths.dist + 'supervise.js');
          const task = supervise('/bin/sh', ['-c', 'echo ready; exec sleep 100'], {
            ready: { line: 'ready' }, startTimeoutMs: 400,
            onRun: () => { const end = performance.now() + 1_000; while (performance.now() < end); },
          });
          const ready = await task.ready;
          console.log(JSON.stringify({ ready, kind: (await task.stop()).kind }));`,
      },
      { env: scenario.env },
    );
    expect(answer).toEqual({ ready: true, kind: 'aborted' });
  });
});
