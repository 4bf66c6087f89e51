// Groups that are still held when Node ends are torn down: on every orderly end, within a bounded time.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { alive } from './support/oracle.js';
import { runNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

/** Far beyond the cap: a teardown that took these graces at their word would fail the bound. */
const GRACE = 20_000;
const CAP = 150;
const BOUND = 5_000;

const held = `
  const options = {
    containment: 'group',
    stdio: ['ignore', 'pipe', 'ignore'],
    teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE} }, { signal: 'SIGTERM', graceMs: ${GRACE} }],
    exitGraceMs: ${CAP},
  };
  async function hold(more = {}) {
    const group = await spawn(member, ['grandchild-ignores-term'], { ...options, ...more });
    const said = await readReady(group.stdout);
    group.stdout.destroy();
    return Object.assign(group, { said });
  }
`;

const sayEnding = "process.stdout.write('ending ' + Date.now() + '\\n');";

const ends: [name: string, source: string, code: number][] = [
  ['return', 'group.unref();', 0],
  ['a throw', "throw new Error('thrown on purpose');", 1],
  ['a throw in a later turn', "setImmediate(() => { throw new Error('thrown on purpose'); });", 1],
  ['an unhandled rejection', "Promise.reject(new Error('rejected on purpose'));", 1],
  ['process.exit()', 'process.exit(7);', 7],
  ['process.exit() in an exit handler', "process.on('exit', () => process.exit(9)); process.exit(2);", 9],
  ['process.exit() in a stream callback', "process.stdout.write('', () => process.exit(4));", 4],
  ['an exit handler that throws', "group.unref(); process.on('exit', () => { throw new Error('on purpose'); });", 1],
  ['stop() under way', "process.once('beforeExit', () => {}); group.stop(); process.exit(5);", 5],
  ['signal() before', "group.signal('SIGTERM'); process.exit(6);", 6],
];

describe('exit of the Node process: held groups are torn down', () => {
  const scenario = useScenario();

  async function endsWith(source: string, env = scenario.env) {
    const run = await runNode({ source: held + source }, { env, timeoutMs: 30_000 });
    const began = /ending (\d+)/.exec(run.stdout)?.[1];
    expect(began, `${run.stdout}${run.stderr}`).toBeDefined();
    return { ...run, exitMs: Date.now() - Number(began) };
  }

  for (const [name, source, code] of ends) {
    it(`exit: ${name}`, async () => {
      const run = await endsWith(`const group = await hold(); ${sayEnding} ${source}`);
      expect([run.code, run.signal], run.stderr).toEqual([code, null]);
      expect(scenario.alive()).toEqual([]);
      expect(run.exitMs).toBeLessThan(BOUND);
    });
  }

  it('exit: control: an end that runs no hook leaves the member that ignores SIGTERM', async () => {
    scenario.leaves();
    await endsWith(`const group = await hold(); ${sayEnding} process.kill(process.pid, 'SIGKILL');`);
    expect(scenario.alive().length).toBeGreaterThan(0);
  });

  it('exit: many groups go in parallel, their graces capped together', async () => {
    const run = await endsWith(`
      await Promise.all(Array.from({ length: 20 }, () => hold()));
      ${sayEnding}
      process.exit(0);`);
    expect(run.code).toBe(0);
    expect(scenario.alive()).toEqual([]);
    expect(run.exitMs).toBeLessThan(BOUND);
    expect(run.exitMs, 'control: the cap is waited for once').toBeGreaterThanOrEqual(CAP - 50);
  });

  it('exit: a member that heeds the first signal is given the time for it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-exit-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    const run = await endsWith(`
      const script = 'trap "echo tidied > $0/tidied; exit 0" TERM; echo "ready {}"; while :; do read -r x; done';
      const group = await spawn('/bin/sh', ['-c', script, ${JSON.stringify(folder)}],
        { ...options, exitGraceMs: 5_000, stdio: ['pipe', 'pipe', 'ignore'] });
      await readReady(group.stdout);
      ${sayEnding}
      process.exit(0);`);
    expect(run.code, run.stderr).toBe(0);
    expect(readFileSync(join(folder, 'tidied'), 'utf8')).toBe('tidied\n');
    expect(scenario.alive()).toEqual([]);
  });

  it('exit: a released group is left alone', async () => {
    scenario.leaves();
    const run = await endsWith(`
      const bound = await hold();
      const free = await hold({ lifetime: 'releasable' });
      free.release();
      console.log('released ' + free.pid + ' ' + free.said.members[0]);
      ${sayEnding}
      process.exit(3);`);
    expect(run.code).toBe(3);
    const released = /released (\d+) (\d+)/.exec(run.stdout)?.slice(1).map(Number) ?? [];
    expect(released).toHaveLength(2);
    expect(
      alive(scenario.id)
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual(released.sort());
  });

  it('exit: a spawn that is still pending leaves nothing', async () => {
    for (let round = 0; round < scaled(10); round++) {
      const run = await endsWith(`
        for (let i = 0; i < 20; i++) spawn(member, ['ignore-term'], { ...options, stdio: 'ignore' }).catch(() => {});
        ${sayEnding}
        ${['process.exit(0);', 'setImmediate(() => process.exit(0));', 'queueMicrotask(() => process.exit(0));'][round % 3]}`);
      expect(run.code, run.stderr).toBe(0);
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('exit: a spawn started in an exit handler leaves nothing', async () => {
    const run = await endsWith(`
      const group = await hold();
      process.on('exit', () => { spawn(member, ['sleep'], { stdio: 'ignore' }).catch(() => {}); });
      process.prependListener('exit', () => { spawn(member, ['sleep'], { stdio: 'ignore' }).catch(() => {}); });
      ${sayEnding}
      process.exit(8);`);
    expect([run.code, run.signal], run.stderr).toEqual([8, null]);
    expect(scenario.alive()).toEqual([]);
  });

  it('exit: stop() and kill() called in an exit handler leave nothing', async () => {
    const run = await endsWith(`
      const one = await hold();
      const two = await hold();
      process.on('exit', () => { one.stop(); two.kill(); two[Symbol.asyncDispose](); });
      ${sayEnding}
      process.exit(0);`);
    expect(run.code, run.stderr).toBe(0);
    expect(scenario.alive()).toEqual([]);
  });

  it('exit: an uncaught exception in a worker ends the process and the groups of both', async () => {
    const run = await endsWith(`
      const { Worker } = await import('node:worker_threads');
      const group = await hold();
      const source = \`
        import { spawn } from \${JSON.stringify('file://' + paths.dist + 'index.js')};
        import { parentPort } from 'node:worker_threads';
        const group = await spawn(\${JSON.stringify(member)}, ['ignore-term'], { stdio: 'ignore', exitGraceMs: ${CAP} });
        parentPort.postMessage(group.pid);
        parentPort.once('message', () => { throw new Error('thrown on purpose'); });
      \`;
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
      const pid = await new Promise((resolve) => worker.once('message', resolve));
      console.log('worker ' + pid);
      ${sayEnding}
      worker.postMessage('throw');`);
    expect([run.code, run.signal], run.stderr).toEqual([1, null]);
    expect(run.stdout).toMatch(/worker \d+/);
    expect(scenario.alive()).toEqual([]);
    expect(run.exitMs).toBeLessThan(BOUND);
  });

  it('exit: process.exit() in a worker takes its groups only', async () => {
    const run = await runNode(
      {
        source: `${held}
          const { Worker } = await import('node:worker_threads');
          const group = await hold();
          const source = \`
            import { spawn } from \${JSON.stringify('file://' + paths.dist + 'index.js')};
            import { parentPort } from 'node:worker_threads';
            const group = await spawn(\${JSON.stringify(member)}, ['ignore-term'], { stdio: 'ignore', exitGraceMs: ${CAP} });
            parentPort.postMessage(group.pid);
            parentPort.once('message', () => process.exit(3));
          \`;
          const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
          const pid = await new Promise((resolve) => worker.once('message', resolve));
          worker.postMessage('exit');
          await new Promise((resolve) => worker.once('exit', resolve));
          await oracle.waitUntil(() => oracle.isDead(pid));
          console.log(JSON.stringify({ ours: oracle.isDead(group.pid), theirs: oracle.isDead(pid) }));
          process.exit(0);`,
      },
      { env: scenario.env },
    );
    expect(run.code, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({ ours: false, theirs: true });
    expect(scenario.alive()).toEqual([]);
  });

  it('exit: an attached group belongs to somebody else and is left alone', async () => {
    scenario.leaves();
    const run = await endsWith(`
      const child = nodeProcess.spawn(member, ['grandchild-ignores-term'],
        { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
      const said = await readReady(child.stdout);
      const { teardown, exitGraceMs } = options;
      await attach(child.pid, { teardown, exitGraceMs });
      console.log('attached ' + child.pid + ' ' + said.members[0]);
      ${sayEnding}
      process.exit(0);`);
    expect(run.code, run.stderr).toBe(0);
    const attached = /attached (\d+) (\d+)/.exec(run.stdout)?.slice(1).map(Number) ?? [];
    expect(
      alive(scenario.id)
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual(attached.sort());
  });
});
