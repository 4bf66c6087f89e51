// Exactly one outcome, always, and it is what began the teardown.
import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { ProcessGroup } from '../dist/index.js';
import { type Outcome, type SuperviseOptions, supervise } from '../dist/supervise.js';
import { isDead, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;
const held = { leaseMs: 60_000, intervalMs: 20, beat: () => true };

function start(verb: string, options: SuperviseOptions = {}) {
  return supervise(member, [verb], { env: scenario.env, teardown, ready: { line: /^ready/ }, ...options });
}

describe('what ends it', () => {
  it('outcome: stop(), from many callers, is one', async () => {
    const task = start('grandchild-ignores-term', { lease: held });
    await task.ready;
    const outcomes = await Promise.all([
      task.stop(),
      task.stop(),
      task.outcome,
      task.group?.gone.then(() => task.stop()),
    ]);
    expect(new Set(outcomes).size).toBe(1);
    expect(outcomes[0]).toMatchObject({
      kind: 'aborted',
      reason: 'stop',
      runs: 1,
      error: null,
      report: { cause: 'stop' },
    });
    expect(scenario.alive()).toEqual([]);
    await task[Symbol.asyncDispose]();
  });

  it('outcome: an AbortSignal, before the call, before the start and afterwards', async () => {
    const before = await start('sleep', { signal: AbortSignal.abort(new Error('never mind')) }).outcome;
    expect(before).toMatchObject({ kind: 'aborted', reason: 'abort', runs: 1, exit: null, report: null });
    expect(before.error).toEqual({ name: 'Error', message: 'never mind' });
    let beats = 0;
    const beat = () => void beats++;
    await start('sleep', { signal: AbortSignal.abort(), lease: { beat, leaseMs: 60_000 } }).outcome;
    expect(beats, 'a lease that nobody needs any more is not renewed').toBe(0);
    const early = new AbortController();
    const pending = start('sleep', { signal: early.signal });
    early.abort();
    expect(await pending.outcome).toMatchObject({ kind: 'aborted', reason: 'abort', error: { name: 'AbortError' } });
    const late = new AbortController();
    const task = start('sleep', { signal: late.signal, lease: held });
    await task.ready;
    late.abort('text');
    const outcome = await task.outcome;
    expect(outcome).toMatchObject({ kind: 'aborted', reason: 'abort', report: { cause: 'abort', empty: true } });
    expect(outcome.error).toEqual({ name: 'string', message: "'text'" });
    expect(getEventListeners(late.signal, 'abort')).toEqual([]);
  });

  it('outcome: a lease that is an AbortSignal, before the call, before the start and afterwards', async () => {
    const before = await start('sleep', { lease: AbortSignal.abort() }).outcome;
    expect(before).toMatchObject({ kind: 'lease-lost', reason: 'aborted', exit: null, error: { name: 'AbortError' } });
    const early = new AbortController();
    const pending = start('sleep', { lease: early.signal });
    early.abort();
    expect(await pending.outcome).toMatchObject({ kind: 'lease-lost', reason: 'aborted' });
    const late = new AbortController();
    const task = start('grandchild-ignores-term', { lease: late.signal });
    await task.ready;
    late.abort();
    expect(await task.outcome).toMatchObject({ kind: 'lease-lost', reason: 'aborted', report: { cause: 'lease' } });
    expect(getEventListeners(late.signal, 'abort')).toEqual([]);
    expect(scenario.alive()).toEqual([]);
  });

  it('outcome: timeoutMs, and the handle of a run', async () => {
    const timed = start('sleep', { timeoutMs: 200, lease: held, restart: { policy: 'always' } });
    expect(await timed.outcome).toMatchObject({
      kind: 'timeout',
      reason: 'timeout',
      runs: 1,
      report: { cause: 'timeout' },
    });
    const ends: ((group: ProcessGroup) => unknown)[] = [
      (group) => group.stop(),
      (group) => group.kill(),
      (group) => group[Symbol.asyncDispose](),
    ];
    for (const end of ends) {
      const task = start('sleep', { onRun: (group) => end(group), restart: { policy: 'always' } });
      expect(await task.outcome).toMatchObject({ kind: 'aborted', reason: 'stop', runs: 1 });
    }
  });

  it('outcome: the command itself, and the rest of its group is torn down', async () => {
    const outcome = await start('leader-exits-first', { lease: held }).outcome;
    expect(outcome).toMatchObject({ kind: 'exited', exit: { code: 0 }, report: { cause: 'stop', empty: true } });
    expect(scenario.alive()).toEqual([]);
  });

  it('outcome: what the rest of its group prints still counts, also where an abort comes meanwhile', async () => {
    const abort = new AbortController();
    const script = `(trap 'echo ready; exit 0' TERM; echo begun >&3; while :; do sleep 0.01; done) & read begun <&3; exit 0`;
    const outcome = await supervise('/bin/sh', ['-c', `f=$(mktemp -u); mkfifo $f; exec 3<>$f; rm $f; ${script}`], {
      env: scenario.env,
      signal: abort.signal,
      ready: { line: 'ready' },
      onRun: (group) => void group.exited.then(() => setImmediate(() => abort.abort())),
    }).outcome;
    expect(outcome).toMatchObject({ kind: 'exited', exit: { code: 0 }, report: { cause: 'stop', empty: true } });
  });

  it('outcome: exited with 0, but the lease ran out before the rest of the group was gone: lease-lost', async () => {
    const outcome = await start('leader-exits-first', {
      lease: { leaseMs: 150, intervalMs: 100, beat: () => new Promise(() => {}), forgivenMisses: 100 },
      onRun: (group) => {
        const end = performance.now() + 10_000;
        while (!isDead(group.pid) && performance.now() < end);
        const blocked = performance.now() + 300;
        while (performance.now() < blocked);
      },
    }).outcome;
    expect(outcome).toMatchObject({
      kind: 'lease-lost',
      reason: 'expired',
      exit: { code: 0 },
      report: { cause: 'lease' },
    });
  });

  it('outcome: a guardian that is killed is an end of its own, named by the report', async () => {
    const task = start('sleep', { containment: 'tree' });
    await task.ready;
    process.kill(task.group?.mechanism.guardianPid ?? 0, 'SIGKILL');
    expect(await task.outcome).toMatchObject({
      kind: 'exited',
      report: { cause: 'guardian' },
    });
  });

  it('outcome: causes that come together are one outcome, which agrees with the report', async () => {
    const cause: Record<string, string[]> = {
      'lease-lost': ['lease', 'abort'],
      'heartbeat-failed': ['lease', 'abort'],
      timeout: ['timeout'],
      aborted: ['stop', 'abort'],
      exited: ['null', 'stop'],
    };
    const kinds = new Set<string>();
    for (let round = 0; round < scaled(60); round++) {
      const [abort, lease] = [new AbortController(), new AbortController()];
      const task = start(round % 7 === 0 ? 'leader-exits-first' : 'sleep', {
        signal: abort.signal,
        lease: round % 2 === 0 ? lease.signal : { ...held, leaseMs: 40, beat: () => new Promise(() => {}) },
        timeoutMs: 40,
        containment: round % 3 === 0 ? 'group' : 'tree',
      });
      const until = performance.now() + 30 + (round % 15);
      await waitUntil(() => performance.now() > until || task.group?.state === 'draining');
      const acts = [() => task.stop(), () => abort.abort(), () => lease.abort()];
      for (let i = 0; i < acts.length; i++) void acts[(i + round) % acts.length]?.();
      const outcome = await task.outcome;
      kinds.add(outcome.kind);
      expect(Object.keys(cause), JSON.stringify(outcome)).toContain(outcome.kind);
      if (outcome.report !== null) expect(cause[outcome.kind]).toContain(`${outcome.report.cause}`);
      expect(await task.stop()).toBe(outcome);
      expect(task.group).toBeNull();
    }
    expect(kinds.size, [...kinds].join()).toBeGreaterThan(1);
    expect(scenario.alive()).toEqual([]);
  });
});

it('outcome: comes also where an error cannot be read', async () => {
  const reason = {
    get [inspect.custom]() {
      throw new Error('on purpose');
    },
  };
  const { kind, error } = await start('sleep', { signal: AbortSignal.abort(reason) }).outcome;
  expect({ kind, error }).toEqual({ kind: 'aborted', error: { name: 'object', message: '[unreadable]' } });
});

it('outcome: is plain data', async () => {
  const task = start('grandchild-ignores-term');
  await task.ready;
  const outcome: Outcome = await task.stop();
  expect(JSON.parse(JSON.stringify(outcome))).toEqual(outcome);
});

it('outcome: nothing is left that would keep the process running', async () => {
  const source = `
    const { supervise } = await import(paths.dist + 'supervise.js');
    const never = () => new Promise(() => {});
    const task = supervise(member, ['leader-exits-first'], {
      teardown: [], startTimeoutMs: 600_000, ready: { check: never },
      lease: { leaseMs: 600_000, timeoutMs: 500_000, forgivenMisses: 100, beat: never },
      restart: { policy: 'on-failure', backoffMs: 1 }, signals: { SIGTERM: 'drain' },
    });
    await task.outcome;
    const began = performance.now();
    process.once('exit', () => console.log(performance.now() - began < 1_000, process.listenerCount('SIGTERM')));`;
  const run = await runNode({ source }, { env: scenario.env, timeoutMs: 30_000 });
  expect([run.code, run.stdout], run.stderr).toEqual([0, 'true 0\n']);
});
