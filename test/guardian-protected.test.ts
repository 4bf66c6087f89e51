// The guardian is not taken down by what was meant for others, holds nothing of the command, and cannot make stop() hang.
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, spawn } from '../dist/index.js';
import { isDead, openFds, stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startTree, treeactor } from './support/trees.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;
const gone = { empty: true, evidence: 'echild', covers: 'tree', survivors: [] };
const guardianOf = (group: ProcessGroup): number => group.mechanism.guardianPid ?? expect.fail('no guardian');
const status = (pid: number, key: string) =>
  new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];

describe('stray signals', () => {
  const strays = [
    'SIGTERM',
    'SIGINT',
    'SIGHUP',
    'SIGQUIT',
    'SIGTSTP',
    'SIGTTIN',
    'SIGTTOU',
    'SIGUSR1',
    'SIGUSR2',
    'SIGPIPE',
    'SIGALRM',
    'SIGCHLD',
  ] as const;

  it('none of them ends, stops or confuses the guardian', async () => {
    const { group, ready } = await startTree(scenario, 'member', ['sleep'], { teardown });
    const guardian = guardianOf(group);
    for (let round = 0; round < 20; round++) for (const signal of strays) process.kill(guardian, signal);
    // It has read them all once it answers.
    expect((await group.members()).map(({ pid }) => pid)).toEqual([ready.pid]);
    expect(status(guardian, 'SigPnd')).toMatch(/^0+$/);
    expect(status(guardian, 'ShdPnd')).toMatch(/^0+$/);
    expect(stat(guardian)?.state).toBe('S');
    expect(group.state).toBe('running');
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
  });

  it('a broadcast to the whole session of the supervisor', async () => {
    const source = `
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => {});
      const group = await spawn(member, ['-r', '3', 'ignore-term'], {
        containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [] });
      await readReady(group.stdio[3]);
      nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid] }) + '\\n');
      process.stdin.once('data', async () => {
        const { empty, evidence } = await group.stop();
        console.log(JSON.stringify({ empty, evidence }));
        process.exit(0);
      });`;
    const node = startNode({ source }, { env: scenario.env, via: ['setsid'], input: '' });
    const stdout = node.stdout ?? expect.fail('no stdout');
    const { members } = await readReady(stdout);
    const guardian = members[0] ?? 0;
    expect(stat(guardian)?.sid, 'it stays in the session of its supervisor').toBe(node.pid);
    expect(stat(guardian)?.pgid, 'in a group of its own').toBe(guardian);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
      for (const pgid of [node.pid ?? 0, guardian]) process.kill(-pgid, signal);
    }
    expect(isDead(guardian)).toBe(false);
    let said = '';
    stdout.on('data', (chunk) => {
      said += chunk;
    });
    node.stdin?.write('stop\n');
    await once(node, 'close');
    expect(JSON.parse(said)).toEqual({ empty: true, evidence: 'echild' });
  });

  it('control: the same SIGTERM ends a process that does not block it', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], { containment: 'group' });
    process.kill(group.pid, 'SIGTERM');
    expect(await group.exited).toMatchObject({ signal: 'SIGTERM' });
  });
});

describe('a SIGSTOPped guardian', () => {
  const graceMs = 200;
  const killWaitMs = 300;
  const ladder = graceMs + killWaitMs;

  it('makes neither stop() nor kill() hang: after the ladder and two seconds it counts as lost', async () => {
    const stopped = async (ends: 'stop' | 'kill') => {
      const options = { teardown: ends === 'stop' ? [{ signal: 'SIGTERM', graceMs } as const] : [], killWaitMs };
      const { group } = await startTree(scenario, 'treeactor', ['mixed'], options);
      process.kill(guardianOf(group), 'SIGSTOP');
      await waitUntil(() => stat(guardianOf(group))?.state === 'T');
      const began = performance.now();
      const report = await group[ends]();
      expect(report).toMatchObject({ empty: true, survivors: [] });
      expect(report.notes).toContain('guardian-lost');
      return performance.now() - began;
    };
    const [ms] = await Promise.all([stopped('stop'), stopped('kill')]);
    expect(ms).toBeGreaterThan(ladder);
    expect(ms).toBeLessThan(ladder + 2_000 + allowance(2_000));
    expect(scenario.alive()).toEqual([]);
  });

  it('that is continued in time goes on as if nothing had been', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { teardown, killWaitMs: 5_000 });
    process.kill(guardianOf(group), 'SIGSTOP');
    const stopping = group.stop();
    process.kill(guardianOf(group), 'SIGCONT');
    expect(await stopping).toMatchObject({ ...gone, cause: 'stop', notes: [] });
    expect(scenario.alive()).toEqual([]);
  });
});

// Where nothing of ours holds the number of the group the guardian sends the signals: before Linux 6.9, and under `inherit`.
it('a socket full of signals: none is called gone, and the order to stop is not lost', async () => {
  const source = `
    const script = 'trap "exit 7" TERM; sleep 300 & echo "ready {}" >&3; wait';
    const group = await spawn('/bin/sh', ['-c', script], {
      containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }] });
    await readReady(group.stdio[3]);
    group.stdio[3].destroy();
    const guardian = group.mechanism.guardianPid;
    process.kill(guardian, 'SIGSTOP');
    await oracle.waitUntil(() => oracle.stat(guardian)?.state === 'T');
    const told = new Set();
    for (let i = 0; i < 600; i++) {
      try { told.add(group.signal('SIGCONT')); } catch (error) { told.add(error.code); }
    }
    const stopping = group.stop();
    process.kill(guardian, 'SIGCONT');
    const { empty, notes, steps } = await stopping;
    const { code } = await group.exited;
    console.log(JSON.stringify({ told: [...told], empty, notes, steps: steps.map(({ signal }) => signal), code }));`;
  const disabled = [process.env.PROCGROUP_TEST_DISABLE, 'pidfd_group'].filter(Boolean).join(',');
  const answer = await runNodeJson({ source }, { env: { ...scenario.env, PROCGROUP_TEST_DISABLE: disabled } });
  expect(answer).toEqual({ told: ['group', 'EAGAIN'], empty: true, notes: [], steps: ['SIGTERM'], code: 7 });
});

it('a stopped supervisor does not block the guardian: what happens meanwhile is told afterwards', async () => {
  const source = `
    const group = await spawn(member, ['-r', '3', 'leader-exits-first'], {
      containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    const { members } = await readReady(group.stdio[3]);
    nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid, ...members] }) + '\\n');
    const exit = await group.exited;
    const report = await group.gone;
    console.log(JSON.stringify({ code: exit.code, report }));`;
  const node = startNode({ source }, { env: scenario.env });
  const stdout = node.stdout ?? expect.fail('no stdout');
  const { members } = await readReady(stdout);
  const [guardian = 0, last = 0] = members;
  node.kill('SIGSTOP');
  await waitUntil(() => stat(node.pid ?? 0)?.state === 'T');
  process.kill(last, 'SIGKILL');
  await waitUntil(() => isDead(guardian), { what: 'the guardian has reaped it and ended' });
  let said = '';
  stdout.on('data', (chunk) => {
    said += chunk;
  });
  node.kill('SIGCONT');
  await once(node, 'close');
  expect(JSON.parse(said)).toMatchObject({ code: 0, report: { empty: true, evidence: 'echild', notes: [] } });
});

describe('what the guardian holds', () => {
  it('its cwd is /, its descriptors hold nothing of the command, and no terminal', async () => {
    const file = openSync(import.meta.filename, 'r');
    const group = (await spawn(member, ['-r', '4', 'sleep'], {
      env: scenario.env,
      containment: 'tree',
      cwd: '/tmp',
      stdio: ['pipe', 'pipe', 'pipe', file, 'pipe'],
    })) as ProcessGroup;
    closeSync(file);
    await readReady(group.stdio[4] as NodeJS.ReadableStream as never);
    const guardian = guardianOf(group);
    // It lets go of what was the command's once exec has succeeded, which the engine may hear a moment earlier.
    await waitUntil(() => readlinkSync(`/proc/${guardian}/cwd`) === '/');
    expect(readlinkSync(`/proc/${group.pid}/cwd`)).toBe('/tmp');
    const fds = openFds(guardian);
    expect(fds.filter(({ fd }) => fd < 3)).toEqual([0, 1, 2].map((fd) => ({ fd, target: '/dev/null' })));
    const kinds = fds
      .filter(({ fd }) => fd > 2)
      .map(({ target }) => target.replace(/:\[\d+\]$/, ''))
      .sort();
    // Its socket, the supervisor's pidfd, the leader's, its epoll and signalfd; the pipe that has told of exec.
    const known = ['anon_inode:[eventpoll]', 'anon_inode:[pidfd]', 'anon_inode:[signalfd]', 'pidfd', 'pipe', 'socket'];
    expect(kinds.filter((kind) => !known.includes(kind))).toEqual([]);
    expect(kinds.filter((kind) => kind === 'socket')).toHaveLength(1);
    const inodes = (pid: number) =>
      openFds(pid)
        .map(({ target }) => target)
        .filter((target) => /^(pipe|socket):/.test(target));
    const shared = inodes(guardian).filter((target) => inodes(group.pid).includes(target));
    expect(shared).toEqual([]);
    await group.kill();
  });

  it('the command has none of the guardian: no descriptor, default signals, no ignored one', async () => {
    const group = await spawn(member, ['self'], { env: scenario.env, containment: 'tree' });
    let text = '';
    for await (const chunk of group.stdout) text += chunk;
    const self = JSON.parse(text) as {
      fds: Record<string, string>;
      SigBlk: string;
      SigIgn: string;
      ppid: number;
      pdeathsig: number;
    };
    expect(Object.keys(self.fds)).toEqual(['0', '1', '2']);
    expect([self.SigBlk, self.SigIgn].map((mask) => Number.parseInt(mask, 16))).toEqual([0, 0]);
    expect(self.ppid, 'getppid is the guardian').toBe(group.mechanism.guardianPid);
    expect(self.pdeathsig, 'the parent-death signal is armed').toBe(9);
    await group.gone;
  });

  it.each([
    ['SIGUSR1', {}, 10],
    ['none', {}, 0],
    [undefined, { lifetime: 'releasable' }, 0],
  ] as const)('the parent-death signal that was asked for: %s', async (parentDeathSignal, more, number) => {
    const asked = parentDeathSignal ? { parentDeathSignal } : {};
    const group = await spawn(member, ['self'], { env: scenario.env, containment: 'tree', ...asked, ...more });
    let text = '';
    for await (const chunk of group.stdout) text += chunk;
    expect(JSON.parse(text)).toMatchObject({ pdeathsig: number });
    await group.gone;
  });

  it('every signal is blocked in it, so that none can end it but SIGKILL', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep']);
    const blocked = BigInt(`0x${status(guardianOf(group), 'SigBlk')}`);
    const missing = Array.from({ length: 31 }, (_, i) => i + 1).filter((n) => !((blocked >> BigInt(n - 1)) & 1n));
    expect(missing).toEqual([9, 19]);
    await group.kill();
  });

  it('at most 64 KiB of private memory', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep']);
    const cwd = `/proc/${guardianOf(group)}/cwd`;
    await waitUntil(() => readlinkSync(cwd) === '/' || null, { what: 'the end of the start' });
    const rollup = readFileSync(`/proc/${guardianOf(group)}/smaps_rollup`, 'latin1');
    const kib = ['Private_Clean', 'Private_Dirty'].map((key) =>
      Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(rollup)?.[1]),
    );
    process.stderr.write(`guardian: private clean and dirty KiB ${kib.join(' ')}\n`);
    // Pages of its file count as private where only one guardian maps them; the sanitized build is not measured.
    if (!process.env.PROCGROUP_TEST_GUARDIAN?.includes('asan'))
      expect((kib[0] ?? 0) + (kib[1] ?? 0)).toBeLessThanOrEqual(64);
    await group.kill();
  });
});

it('the leader is bound to the guardian: its SIGKILL takes it, without any help of the supervisor', async () => {
  const source = `
    const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'detached-wide', '1'], {
      containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    const { members } = await readReady(group.stdio[3]);
    console.log('ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid, ...members] }));
    setInterval(() => {}, 1e6);`;
  scenario.leaves();
  const node = startNode({ source }, { env: scenario.env });
  const { pid, members } = await readReady(node.stdout ?? expect.fail('no stdout'));
  node.kill('SIGSTOP');
  await waitUntil(() => stat(node.pid ?? 0)?.state === 'T');
  process.kill(members[0] ?? 0, 'SIGKILL');
  await waitUntil(() => isDead(pid), { what: 'the leader dies' });
  expect(isDead(members[1] ?? 0), 'control: who is not bound lives').toBe(false);
  node.kill('SIGKILL');
  await once(node, 'exit');
});
