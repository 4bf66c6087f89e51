// A command that hangs before its exec (a working directory or a program on a mount that does not answer): whatever ends a
// group ends this too, in bounded time, and nothing is left. test/support/native/hold.c stands in for the mount.
import { type ChildProcess, spawn as spawnPlain } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bin, type CliRun, finish } from './support/cli.js';
import { childrenOf, isDead, stat, waitUntil } from './support/oracle.js';
import { hold, member, root, tracer } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'procgroup-hang-'));
  mkdirSync(join(folder, 'hung-directory'));
  copyFileSync(member, join(folder, 'hung-program'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const via = { chdir: [hold, 'chdir:/hung-directory', '--'], exec: [hold, 'execve:/hung-program', '--'] } as const;
type Where = keyof typeof via;
const calls: readonly Where[] = ['chdir', 'exec'];

/** A subject in which spawning() is a spawn that hangs (hung: its arguments), told() prints what became of it, and `asked` settles at SIGUSR2. */
function subject(where: Where, containment: string, body: string): { source: string } {
  const file = where === 'exec' ? join(folder, 'hung-program') : member;
  const cwd = where === 'chdir' ? { cwd: join(folder, 'hung-directory') } : {};
  const options = JSON.stringify({ containment, stdio: 'ignore', ...cwd });
  return {
    source: `
      const hung = [${JSON.stringify(file)}, ['sleep'], ${options}];
      const spawning = (more) => spawn(hung[0], hung[1], { ...hung[2], ...more });
      const told = (error) => console.log(JSON.stringify({ name: error.name, code: error.code, stage: error.stage,
        syscall: error.syscall, children: oracle.childrenOf().length }));
      const asked = new Promise((resolve) => process.once('SIGUSR2', resolve));
      ${body}`,
  };
}

const LIMIT = allowance(5_000);

/** The pid of the held call. */
async function held(child: ChildProcess): Promise<number> {
  let text = '';
  child.stderr?.on('data', (chunk) => {
    text += String(chunk);
  });
  const [, pid] = await waitUntil(() => /held (\d+)/.exec(text), { what: 'the call is held' });
  return Number(pid);
}

/** Runs a subject until its spawn hangs. */
async function start(where: Where, containment: string, body: string) {
  const child = startNode(subject(where, containment, body), { env: scenario.env, via: via[where] });
  const end = finish(child);
  const pid = await held(child);
  return { end, pid, node: childrenOf(child.pid)[0] ?? 0 };
}

describe.each(calls)('a hung %s', (where) => {
  it('control: without a bound nothing settles', async () => {
    const { end, pid, node } = await start(where, 'tree', 'spawning({}).then(told, told);');
    const guardian = stat(pid)?.ppid ?? 0;
    expect(stat(guardian)?.ppid).toBe(node);
    expect(stat(pid)).toMatchObject({ state: expect.stringMatching(/[SD]/) });
    process.kill(guardian, 'SIGKILL');
    expect(JSON.parse((await end).stdout)).toMatchObject({ code: 'ERR_KILLED_BEFORE_EXEC', stage: 'guardian' });
  });

  it('timeoutMs ends it: ETIMEDOUT, with the stage', async () => {
    const began = performance.now();
    const { end } = await start(where, 'tree', 'spawning({ timeoutMs: 200 }).then(told, told);');
    const syscall = where === 'exec' ? 'execve' : 'chdir';
    const error = JSON.parse((await end).stdout);
    expect(error).toEqual({ name: 'SpawnError', code: 'ETIMEDOUT', stage: where, syscall, children: 0 });
    expect(performance.now() - began).toBeLessThan(LIMIT);
    expect(scenario.alive()).toEqual([]);
  });

  describe.each(['tree', 'group'])('under %s', (containment) => {
    it('an abort ends it', async () => {
      const body = `
        const controller = new AbortController();
        asked.then(() => controller.abort());
        spawning({ signal: controller.signal }).then(told, told);`;
      const { end, node } = await start(where, containment, body);
      const began = performance.now();
      process.kill(node, 'SIGUSR2');
      expect(JSON.parse((await end).stdout)).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', children: 0 });
      expect(performance.now() - began).toBeLessThan(LIMIT);
      expect(scenario.alive()).toEqual([]);
    });

    it('the end of its scope ends it, before the deadline of the scope', async () => {
      const body = `
        const { ProcessScope } = await import(paths.dist + 'scope.js');
        const scope = new ProcessScope({ deadlineMs: ${2 * LIMIT}, killWaitMs: 500 });
        const settled = scope.spawn(...hung).then(told, told);
        asked.then(() => scope.end()).then(async ({ empty, groups, errors }) => {
          await settled;
          console.log(JSON.stringify({ empty, groups, errors }));
        });`;
      const { end, node } = await start(where, containment, body);
      const began = performance.now();
      process.kill(node, 'SIGUSR2');
      const [error = '', report = ''] = (await end).stdout.split('\n');
      expect(performance.now() - began).toBeLessThan(LIMIT);
      expect(JSON.parse(error)).toEqual({
        name: 'ProcessGroupError',
        code: 'ERR_SCOPE_ENDED',
        stage: 'scope',
        children: 0,
      });
      expect(JSON.parse(report)).toEqual({ empty: true, groups: [], errors: [] });
      expect(scenario.alive()).toEqual([]);
    });

    it('the start deadline of supervise() ends it, also without `ready`', async () => {
      const body = `
        const { supervise } = await import(paths.dist + 'supervise.js');
        const [file, args, { stdio, ...options }] = hung;
        const { kind, reason, error } = await supervise(file, args, { ...options, startTimeoutMs: 300 }).outcome;
        console.log(JSON.stringify({ kind, reason, name: error.name, children: oracle.childrenOf().length }));`;
      const began = performance.now();
      const { end } = await start(where, containment, body);
      const outcome = { kind: 'start-failed', reason: 'deadline', name: 'AbortError', children: 0 };
      expect(JSON.parse((await end).stdout)).toEqual(outcome);
      expect(performance.now() - began).toBeLessThan(LIMIT);
      expect(scenario.alive()).toEqual([]);
    });

    it('the end of the process ends it', async () => {
      const body = 'spawning({}).then(told, told); asked.then(() => process.exit(7));';
      const { end, node } = await start(where, containment, body);
      const began = performance.now();
      process.kill(node, 'SIGUSR2');
      expect(await end).toMatchObject({ code: 7, stdout: '' });
      expect(performance.now() - began).toBeLessThan(LIMIT);
      expect(scenario.alive()).toEqual([]);
    });
  });

  it('the SIGKILL of the supervisor ends it', async () => {
    const { end, node } = await start(where, 'tree', 'spawning({}).then(told, told);');
    process.kill(node, 'SIGKILL');
    expect(await end).toMatchObject({ signal: 'SIGKILL', stdout: '' });
    expect(scenario.alive()).toEqual([]);
  });

  it('the end of its Worker ends it', async () => {
    const imports = `
      import { spawn } from ${JSON.stringify(pathToFileURL(`${root}dist/index.js`))};
      import * as oracle from ${JSON.stringify(pathToFileURL(`${root}test/support/oracle.mjs`))};`;
    const inner = imports + subject(where, 'tree', 'spawning({}).then(told, told);').source;
    const body = `
      const { Worker } = await import('node:worker_threads');
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(inner)})));
      asked.then(() => worker.terminate());
      worker.once('exit', async () => {
        await oracle.waitUntil(() => oracle.childrenOf().length === 0, { timeoutMs: ${LIMIT} });
        console.log('none');
      });`;
    const { end, node } = await start(where, 'tree', body);
    process.kill(node, 'SIGUSR2');
    expect(await end).toMatchObject({ code: 0, stdout: 'none\n' });
    expect(scenario.alive()).toEqual([]);
  });

  it.each([
    ['exit-stop', 't', 600 - 5],
    ['no-wait', 'Z', 0],
  ] as const)(
    'what cannot die, or cannot be reaped, is not waited for without a bound: %s',
    async (mode, state, least) => {
      const body = `
      const controller = new AbortController();
      asked.then(() => controller.abort());
      const end = (error) => { told(error); process.exit(7); };
      spawning({ signal: controller.signal, killWaitMs: 600 }).then(end, end);`;
      const { end, pid, node } = await start(where, 'tree', body);
      const holder = spawnPlain(tracer, [mode, String(pid)], { stdio: ['ignore', 'pipe', 'inherit'] });
      scenario.defer(() => holder.kill('SIGKILL'));
      await readReady(holder.stdout);
      const began = performance.now();
      process.kill(node, 'SIGUSR2');
      await waitUntil(() => isDead(node), { timeoutMs: LIMIT, what: 'the spawn settles' });
      expect(performance.now() - began).toBeGreaterThan(least);
      expect(stat(pid)?.state, 'control: the tracer holds it').toBe(state);
      holder.kill('SIGKILL');
      const { stdout, code } = await end;
      expect([code, JSON.parse(stdout)]).toMatchObject([7, { name: 'AbortError' }]);
      expect(scenario.alive()).toEqual([]);
    },
  );
});

describe('procgroup run', () => {
  async function run(options: string[], act?: (guardian: number) => void): Promise<CliRun> {
    const args = [...via.exec.slice(1), bin, 'run', ...options, '--', join(folder, 'hung-program'), 'sleep'];
    const child = spawnPlain(hold, args, { env: scenario.env, stdio: ['ignore', 'pipe', 'pipe'] });
    const end = finish(child);
    const pid = await held(child);
    act?.(stat(pid)?.ppid ?? 0);
    return end;
  }
  const said = (stderr: string) => stderr.replace(/^held .*\n/, '');

  it('--timeout ends it, with 124', async () => {
    const { code, stderr } = await run(['--timeout', '200ms']);
    expect(code).toBe(124);
    expect(said(stderr)).toMatch(/^procgroup run: \S*hung-program: timed out before it was started, at execve\n$/);
    expect(scenario.alive()).toEqual([]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const)('%s ends it', async (signal) => {
    const { code, stderr } = await run([], (guardian) => process.kill(guardian, signal));
    expect(code).toBe(128 + { SIGTERM: 15, SIGINT: 2, SIGHUP: 1, SIGQUIT: 3 }[signal]);
    expect(said(stderr)).toBe('');
    expect(scenario.alive()).toEqual([]);
  });

  it('another signal waits for the command', async () => {
    const { code } = await run([], (guardian) => {
      process.kill(guardian, 'SIGUSR1');
      process.kill(guardian, 'SIGWINCH');
      expect(isDead(guardian)).toBe(false);
      process.kill(guardian, 'SIGTERM');
    });
    expect(code).toBe(143);
  });

  it('a signal that its rewriting drops ends nothing', async () => {
    const { code } = await run(['--rewrite', 'INT:', '--rewrite', 'USR2:TERM'], (guardian) => {
      process.kill(guardian, 'SIGINT');
      process.kill(guardian, 'SIGUSR2');
    });
    expect(code).toBe(143);
  });
});
