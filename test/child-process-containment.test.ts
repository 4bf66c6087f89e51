// What the drop-in adds: containment by an option or by the environment, stop(), and what kill() means then.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { type ContainmentOptions, exec, execFile, fork, type SpawnOptions, spawn } from '../dist/child-process.js';
import { announce, whyNoNamespace } from './support/boxes.js';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { dist, member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const teardown = [{ signal: 'SIGTERM', graceMs: 100 }] as const;
const noNamespace = announce('child-process-containment', whyNoNamespace());

/** spawn() refuses a wrong value by a throw, before anything is started. */
function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('containment of the drop-in', () => {
  const scenario = useScenario();
  afterEach(() => {
    delete process.env.PROCGROUP_CONTAINMENT;
  });

  /** A member whose child has left for a session of its own, with its ready line on descriptor 3. */
  async function start(options: SpawnOptions & ContainmentOptions = {}, verb = 'setsid') {
    const child = spawn(member, ['-r', '3', verb], {
      env: scenario.env,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      ...options,
    });
    const said = await readReady(child.stdio[3] as Readable);
    return { child, said };
  }

  it('control: without an option stop() ends the child alone, and so does kill()', async () => {
    scenario.leaves();
    const { child, said } = await start();
    expect(await child.stop()).toMatchObject({ empty: true, covers: 'leader', cause: 'stop' });
    expect(scenario.alive().map(({ pid }) => pid)).toEqual(said.members);
  });

  it("containment 'tree': stop() ends what left the child's session", async () => {
    const { child } = await start({ containment: 'tree', teardown });
    const exit = once(child, 'exit');
    const report = await child.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ empty: true, covers: 'tree', cause: 'stop', evidence: 'echild', survivors: [] });
    expect(await exit).toEqual([null, 'SIGTERM']);
    expect(await child.stop()).toBe(report);
  });

  it("containment 'group': the child leads a group of its own, and stop() ends the group", async () => {
    const { child } = await start({ containment: 'group', teardown }, 'grandchild-ignores-term');
    expect(stat(child.pid ?? 0)?.pgid).toBe(child.pid);
    expect(await child.stop()).toMatchObject({ empty: true, covers: 'group' });
    expect(scenario.alive()).toEqual([]);
  });

  it.skipIf(noNamespace !== '')("containment 'namespace': the child leads a group of its own there", async () => {
    const { child } = await start({ containment: 'namespace', teardown });
    expect(stat(child.pid ?? 0)?.pgid).toBe(child.pid);
    expect(await child.stop()).toMatchObject({ empty: true, covers: 'namespace', evidence: 'namespace' });
    process.env.PROCGROUP_CONTAINMENT = 'namespace';
    const byDefault = await start({ teardown });
    expect(await byDefault.child.stop()).toMatchObject({ empty: true, covers: 'namespace' });
    expect(thrown(() => spawn('true', { isolation: 'inherit' }))).toMatchObject({ code: 'ERR_NAMESPACE_INHERIT' });
    expect(scenario.alive()).toEqual([]);
  });

  it("containment 'tree' leaves the child in our process group, as Node does", async () => {
    const { child } = await start({ containment: 'tree', teardown });
    expect(stat(child.pid ?? 0)?.pgid).toBe(stat(process.pid)?.pgid);
    await child.stop();
    const detached = await start({ containment: 'tree', teardown, detached: true });
    expect(stat(detached.child.pid ?? 0)?.sid).toBe(detached.child.pid);
    await detached.child.stop();
    const own = await start({ containment: 'tree', teardown, isolation: 'group' });
    expect(stat(own.child.pid ?? 0)?.pgid).toBe(own.child.pid);
    await own.child.stop();
  });

  it('kill() signals the child alone; when the child has ended of it the rest is torn down', async () => {
    const { child } = await start({ containment: 'tree', teardown });
    expect(child.kill()).toBe(true);
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
    await waitUntil(() => scenario.alive().length === 0);
    expect(await child.stop()).toMatchObject({ empty: true, cause: 'stop' });
  });

  it('a signal that is no order to end does not', async () => {
    const { child, said } = await start({ containment: 'tree', teardown });
    expect(child.kill('SIGCONT')).toBe(true);
    process.kill(child.pid ?? 0, 'SIGKILL');
    await once(child, 'exit');
    expect(said.members.some((pid) => isDead(pid))).toBe(false);
    expect(await child.stop()).toMatchObject({ empty: true });
  });

  it('the end of the child is told when it ends, not when the tree does', async () => {
    const { child, said } = await start({ containment: 'tree', teardown }, 'leader-exits-first');
    if (child.exitCode === null) await once(child, 'exit');
    expect([child.exitCode, child.signalCode]).toEqual([0, null]);
    expect(said.members.some((pid) => !isDead(pid))).toBe(true);
    expect(await child.stop()).toMatchObject({ empty: true });
  });

  it('exec, execFile and fork take the options, and so do the promises', async () => {
    const options = { containment: 'tree', teardown, env: scenario.env } as const;
    const script = `${member} setsid`;
    const starts = [() => exec(script, options, () => {}), () => execFile(member, ['setsid'], options, () => {})];
    for (const start of starts) {
      const child = start();
      await once(child.stdout as Readable, 'data');
      expect(await child.stop()).toMatchObject({ empty: true, covers: 'tree' });
    }
    const promise = promisify(execFile)(member, ['setsid'], options);
    const { child } = promise;
    await once(child.stdout as Readable, 'data');
    child.kill('SIGKILL');
    await expect(promise).rejects.toMatchObject({ signal: 'SIGKILL', killed: true });
    const kid = fork('-', {
      ...options,
      execArgv: [
        '-e',
        "require('child_process').spawn('sleep', ['1000'], { detached: true }); process.send('started')",
      ],
    });
    expect(await once(kid, 'message')).toEqual(['started', undefined]);
    expect(await kid.stop()).toMatchObject({ empty: true, covers: 'tree' });
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('an abort and a timeout bring the tree down', async () => {
    const controller = new AbortController();
    const { child } = await start({ containment: 'tree', teardown, signal: controller.signal });
    child.on('error', () => {});
    controller.abort();
    await once(child, 'exit');
    await waitUntil(() => scenario.alive().length === 0);
    const timed = await start({ containment: 'tree', teardown, timeout: 300 });
    await once(timed.child, 'exit');
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('PROCGROUP_CONTAINMENT is the default; detached opts out of it, not of an option', async () => {
    process.env.PROCGROUP_CONTAINMENT = 'tree';
    const first = await start({ teardown });
    expect(await first.child.stop()).toMatchObject({ covers: 'tree', empty: true });
    const detached = await start({ teardown, detached: true });
    expect(await detached.child.stop()).toMatchObject({ covers: 'leader' });
    for (const pid of detached.said.members) process.kill(pid, 'SIGKILL');
    const both = await start({ teardown, detached: true, containment: 'tree' });
    expect(await both.child.stop()).toMatchObject({ covers: 'tree', empty: true });
    const leader = spawn('true', [], { containment: 'leader' });
    await once(leader, 'close');
    expect(await leader.stop()).toMatchObject({ covers: 'leader', empty: true });
    process.env.PROCGROUP_CONTAINMENT = '';
    const none = spawn('true');
    await once(none, 'close');
    expect(await none.stop()).toMatchObject({ covers: 'leader' });
  });

  it('a wrong value is a typed error of the call, and nothing is started', () => {
    const wrong = { containment: 'wood' } as unknown as ContainmentOptions;
    for (const call of [
      () => spawn('true', wrong),
      () => spawn('true', [], wrong),
      () => exec('true', wrong),
      () => execFile('true', wrong),
      () => execFile('true', [], wrong),
      () => fork('x', [], wrong),
    ]) {
      expect(thrown(call)).toMatchObject({ name: 'ProcessGroupError', code: 'ERR_INVALID_ARG_VALUE' });
    }
    expect(thrown(() => spawn('true', { isolation: 'inherit', containment: 'group' }))).toMatchObject({
      code: 'ERR_OWN_GROUP',
    });
    expect(thrown(() => spawn('true', { teardown: [{ signal: 'SIGNO', graceMs: 1 }] as never }))).toMatchObject({
      code: 'ERR_UNKNOWN_SIGNAL',
    });
    process.env.PROCGROUP_CONTAINMENT = 'wood';
    expect(thrown(() => spawn('true'))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect(scenario.alive()).toEqual([]);
  });

  it("a failed start under containment is Node's error", async () => {
    const child = spawn('no-such-program', ['x'], { containment: 'tree' });
    const [error] = await once(child, 'error').catch((reason) => [reason]);
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'spawn no-such-program', spawnargs: ['x'] });
    expect(await child.stop()).toMatchObject({ empty: true, survivors: [], steps: [] });
  });

  it('stop() is not to be seen, and does not need its child', async () => {
    const child = spawn('true');
    expect(Object.keys(child)).not.toContain('stop');
    const { stop } = child;
    await once(child, 'close');
    expect(await stop()).toMatchObject({ empty: true });
  });

  it('pipes and a channel work under a guardian', async () => {
    const child = spawn('cat', [], { containment: 'tree' });
    child.stdin.end('through the tree');
    const [chunk] = await once(child.stdout, 'data');
    expect(String(chunk)).toBe('through the tree');
    const ppid = stat(child.pid ?? 0)?.ppid;
    if (ppid !== undefined) expect(readFileSync(`/proc/${ppid}/comm`, 'utf8')).toMatch(/procgroup-guard/);
  });

  it.each(['SIGKILL', 'SIGTERM', 'exit', 'throw'])('nothing outlives a process that ends by %s', async (end) => {
    const source = `
      const cp = await import(${JSON.stringify(`${dist}child-process.js`)});
      const child = cp.spawn(member, ['-r', '3', 'setsid'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [] });
      await readReady(child.stdio[3]);
      ${end === 'exit' ? 'process.exit(0)' : end === 'throw' ? "throw new Error('on purpose')" : `process.kill(process.pid, '${end}')`}`;
    await runNode({ source }, { env: { ...scenario.env, PROCGROUP_CONTAINMENT: 'tree' } });
    await waitUntil(() => scenario.alive().length === 0);
    scenario.leaves();
    await runNode({ source }, { env: scenario.env });
    expect(scenario.alive().length, 'control: without it both are left').toBeGreaterThan(0);
  });
});
