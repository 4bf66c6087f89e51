import { getDefaultHighWaterMark, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { spawn } from '../dist/index.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { startPlain } from './support/plain.js';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const drainMs = 300;
const stdio = ['ignore', 'pipe', 'pipe', 'pipe'] as const;

it('G11: a grandchild keeps stdout open: exited at once, closed after drainMs says by whom', async () => {
  const { group, ready } = await startMember(scenario, ['holds-stdout', '7'], { stdio, drainMs });
  const stdoutClosed = new Promise<void>((resolve) => group.stdout?.once('close', resolve));
  const exit = await group.exited;
  const exitedAt = performance.now();
  expect(exit).toMatchObject({ code: 7, signal: null, status: 'exact' });
  const closed = await group.closed;
  expect(performance.now() - exitedAt).toBeGreaterThan(drainMs - 20);
  expect(performance.now() - exitedAt).toBeLessThan(drainMs + 5_000);
  expect(closed).toEqual({ truncated: true, heldBy: [{ pid: ready.members[0], comm: 'member' }] });
  await stdoutClosed;
  expect(await group.exited).toBe(exit);
  expect(group.state).toBe('leader-exited');
  expect(await group.stop()).toMatchObject({ empty: true });
});

it('G11: what was written before is delivered, also to a reader that pauses', async () => {
  scenario.leaves();
  const script = 'printf begin; sleep 300 & exit 4';
  const group = await spawn('/bin/sh', ['-c', script], {
    env: scenario.env,
    stdio: ['ignore', 'pipe', 'ignore'],
    drainMs,
  });
  const stdout = group.stdout as Readable;
  let text = '';
  stdout.on('data', (chunk) => {
    text += chunk;
    stdout.pause();
    setImmediate(() => stdout.resume());
  });
  expect(await group.exited).toMatchObject({ code: 4 });
  expect(await group.closed).toMatchObject({ truncated: true, heldBy: [{ comm: 'sleep' }] });
  expect(text).toBe('begin');
  await group.stop();
});

it('G11: what the leader had written is delivered where the reader is behind and somebody holds the pipe', async () => {
  const script = 'head -c "$1" /dev/zero; read go; head -c 60000 /dev/zero; sleep 300 & exit 4';
  const behind = getDefaultHighWaterMark(false);
  const group = await spawn('/bin/sh', ['-c', script, 'sh', String(behind)], {
    env: scenario.env,
    stdio: ['pipe', 'pipe', 'ignore'],
    drainMs: 100,
  });
  const { stdout } = group;
  const state = (stdout as unknown as { _readableState: { ended: boolean } })._readableState;
  stdout.pause();
  await waitUntil(() => stdout.readableLength >= behind, { what: 'we read no further' });
  group.stdin.write('go\n');
  expect(await group.exited).toMatchObject({ code: 4 });
  expect(state.ended, 'control: it is held').toBe(false);
  await waitUntil(() => state.ended, { what: 'the cut' });
  expect((await buffer(stdout)).length).toBe(behind + 60_000);
  expect(await group.closed).toMatchObject({ truncated: true, heldBy: [{ comm: 'sleep' }] });
  await group.stop();
});

it('G11: a reader that is behind is waited for without a busy loop, also at drainMs 0', async () => {
  const source = `
    import { getDefaultHighWaterMark } from 'node:stream';
    const behind = getDefaultHighWaterMark(false);
    const script = 'head -c "$1" /dev/zero; read go; head -c 60000 /dev/zero';
    const stdio = ['pipe', 'pipe', 'inherit'];
    const group = await spawn('/bin/sh', ['-c', script, 'sh', String(behind)], { stdio, drainMs: 0 });
    group.stdout.pause();
    await oracle.waitUntil(() => group.stdout.readableLength >= behind);
    // Each look at who holds the pipe begins with its inode.
    const { fstatSync } = nodeFs;
    let looks = 0;
    nodeFs.fstatSync = (...args) => (looks++, fstatSync(...args));
    group.stdin.write('go\\n');
    await group.exited;
    const began = performance.now();
    await oracle.waitUntil(() => looks >= 11, { timeoutMs: 30_000 });
    const ms = performance.now() - began;
    let bytes = -behind;
    group.stdout.on('data', (data) => { bytes += data.length; }).resume();
    console.log(JSON.stringify({ closed: await group.closed, bytes, ms }));`;
  const run = await runNodeJson<{ ms: number }>({ source }, { env: scenario.env });
  expect(run).toMatchObject({ closed: { truncated: false, heldBy: [] }, bytes: 60_000 });
  expect(run.ms, 'pauses from 1 to 512 ms').toBeGreaterThan(1_000);
});

it('G11: drainMs 0 cuts at once; nobody holding it means no cut', async () => {
  const held = await startMember(scenario, ['holds-stdout', '0'], { stdio, drainMs: 0 });
  expect(await held.group.closed).toMatchObject({ truncated: true, heldBy: [{ pid: held.ready.members[0] }] });
  await held.group.stop();
  const free = await spawn(member, ['print', '100000', '0'], { env: scenario.env, drainMs });
  free.stdout?.resume();
  expect(await free.closed).toEqual({ truncated: false, heldBy: [] });
});

it('G11: stop() ends the holder, and with it the pipe, before drainMs', async () => {
  const { group } = await startMember(scenario, ['holds-stdout', '0'], { stdio, drainMs: 30_000 });
  await group.exited;
  expect(await group.stop()).toMatchObject({ empty: true });
  expect(await group.closed).toEqual({ truncated: false, heldBy: [] });
});

it('G11: output that nobody reads is drained after the exit', async () => {
  const group = await spawn(member, ['print', '50000', '50000'], {
    env: scenario.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(await group.exited).toMatchObject({ code: 0 });
  expect(await group.closed).toEqual({ truncated: false, heldBy: [] });
  expect(group.stdout?.destroyed).toBe(true);
});

it('G11: control: child_process waits for its pipe as long as the grandchild lives', async () => {
  const { child, ready, exited } = await startPlain(
    scenario,
    ['holds-stdout', '7'],
    ['ignore', 'pipe', 'ignore', 'pipe'],
  );
  let closed = false;
  child.once('close', () => {
    closed = true;
  });
  expect(await exited).toEqual([7, null]);
  await new Promise((resolve) => setTimeout(resolve, drainMs));
  expect(closed).toBe(false);
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
});

it('G11: of a further pipe, a socketpair, it is told that it was cut, but not who held it', async () => {
  scenario.leaves();
  const options = { env: scenario.env, stdio: ['ignore', 'pipe', 'ignore', 'pipe'], drainMs } as const;
  const group = await spawn('/bin/sh', ['-c', 'sleep 300 >/dev/null & exit 0'], options);
  expect(await group.closed).toEqual({ truncated: true, heldBy: [] });
  await group.stop();
});
