// Leaves whose supervisor and guardian were killed together are found by their name, told, ended and removed; those in use
// are left alone.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readlinkSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sweep } from '../dist/index.js';
import {
  announce,
  boxed,
  outside,
  processesIn,
  useControllers,
  usePlace,
  whyNoCgroup,
  whyNoController,
} from './support/boxes.js';
import { bin, runCli } from './support/cli.js';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { namespaced } from './support/strangers.js';
import { startTree, treeactor } from './support/trees.js';
import { unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const reason = announce('cgroup-sweep', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const hugetlb = announce('cgroup-sweep: hugetlb', whyNoController('hugetlb'));
const handDown = useControllers(place);
const parent = place.path;
const runJson = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(['sweep', ...args], { env: scenario.env });
  return { code, stdout, stderr };
};

/** A supervisor in a Node of its own, with its guardian's pid and its own as it sees them, and the leaf of its group. */
async function hold(via: readonly string[] = [], options: object = boxed('cgroup', place)) {
  const source = `
    const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
      ...${JSON.stringify(options)}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    await readReady(group.stdio[3]);
    console.log('ready ' + JSON.stringify({
      supervisor: process.pid, guardian: group.mechanism.guardianPid, leader: group.pid, leaf: group.mechanism.cgroupPath }));
    setInterval(() => {}, 1e6);`;
  const node = startNode({ source }, { env: scenario.env, via });
  const said = await readReady<{ supervisor: number; guardian: number; leader: number; leaf: string }>(
    node.stdout ?? expect.fail('no stdout'),
  );
  return { node, ...said };
}

/** A supervisor and its guardian, killed together: gives the leaf that they leave, and who owned it. */
async function leave(options?: object): Promise<{ owner: number; startTime: number; leaf: string }> {
  const { node, supervisor: owner, guardian, leader, leaf } = await hold([], options);
  const startTime = stat(owner)?.startTime ?? 0;
  for (const pid of [owner, guardian]) process.kill(pid, 'SIGSTOP');
  for (const pid of [guardian, owner]) process.kill(pid, 'SIGKILL');
  await once(node, 'exit');
  await waitUntil(() => isDead(guardian) && isDead(leader)); // the leader by its parent-death signal
  return { owner, startTime, leaf };
}

describe.skipIf(reason !== '')('a leaf that was left behind', () => {
  it('is told, ended and removed by sweep()', async () => {
    const { owner, startTime, leaf } = await leave();
    expect(place.leaves()).toEqual([basename(leaf)]);
    const left = processesIn(leaf);
    expect(left.length).toBeGreaterThan(2);
    const told = { path: leaf, ownerPid: owner, ownerStartTime: startTime, processes: left.length, error: null };
    expect(await sweep({ parent, mode: 'list' })).toEqual([{ ...told, state: 'abandoned' }]);
    expect(processesIn(leaf)).toEqual(left);
    expect(await sweep({ parent })).toEqual([{ ...told, state: 'reaped' }]);
    expect(left.filter((pid) => !isDead(pid))).toEqual([]);
    expect(place.leaves()).toEqual([]);
    expect(await sweep({ parent })).toEqual([]);
  });

  it('by procgroup sweep, without Node', async () => {
    const { owner, leaf } = await leave();
    const listed = await runJson('--list', place.path);
    expect(listed.code).toBe(1);
    expect(listed.stdout).toMatch(new RegExp(`^abandoned ${leaf}, owner ${owner}, \\d processes\n$`));
    const reaped = await runJson(place.path);
    expect(reaped).toMatchObject({ code: 0, stderr: '' });
    expect(reaped.stdout).toMatch(/^reaped /);
    expect(await runJson('--json', place.path)).toEqual({ code: 0, stdout: '{"leaves":[]}\n', stderr: '' });
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('with cgroups below it, and paused', async () => {
    const { leaf } = await leave();
    const below = join(leaf, 'a', 'b');
    mkdirSync(below, { recursive: true });
    writeFileSync(join(below, 'cgroup.procs'), String(processesIn(leaf)[0]));
    writeFileSync(join(leaf, 'cgroup.freeze'), '1');
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    expect(place.leaves()).toEqual([]);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('somewhere below the given directory', async () => {
    mkdirSync(join(place.path, 'one'));
    mkdirSync(join(place.path, 'one', 'two'));
    await leave({ containment: 'cgroup', cgroup: { parent: join(place.path, 'one', 'two') } });
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    rmdirSync(join(place.path, 'one', 'two'));
    rmdirSync(join(place.path, 'one'));
    await waitUntil(() => scenario.alive().length === 0);
  });

  it.skipIf(whyNoMixedUids() !== '')(
    'of a PID namespace of its own: its owner is known by the number that it has there',
    async () => {
      const { node, supervisor, guardian, leaf } = await hold(namespaced);
      // Their numbers are those of the namespace: outside they are strangers'.
      const candidates = scenario.alive().map(({ pid }) => pid);
      const [outerSupervisor = 0, outerGuardian = 0] = outside('namespace', candidates, [supervisor, guardian]);
      process.kill(outerSupervisor, 'SIGSTOP');
      process.kill(outerGuardian, 'SIGKILL');
      await waitUntil(() => isDead(outerGuardian));
      expect(await sweep({ parent })).toMatchObject([{ path: leaf, ownerPid: supervisor, state: 'in-use' }]);
      const ended = once(node, 'exit');
      process.kill(outerSupervisor, 'SIGKILL');
      await ended;
      await waitUntil(() => scenario.alive().length === 0);
      // Only from the initial namespace can every process be seen: nobody can be overlooked.
      const initial = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
      expect(await sweep({ parent })).toMatchObject([{ path: leaf, state: initial ? 'reaped' : 'foreign' }]);
      if (!initial) rmdirSync(leaf);
    },
  );
});

describe.skipIf(reason !== '')('a leaf that is in use', () => {
  it('is left alone: its guardian lives', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], boxed('cgroup', place));
    const before = scenario.alive().length;
    expect(await sweep({ parent })).toMatchObject([
      { path: group.mechanism.cgroupPath, ownerPid: process.pid, processes: 5, state: 'in-use' },
    ]);
    expect(scenario.alive()).toHaveLength(before);
    await group.kill();
  });

  it('is left alone, and what a supervisor inside it has left is not', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], boxed('cgroup', place));
    const outer = group.mechanism.cgroupPath ?? expect.fail('no leaf');
    const { leaf } = await leave({ containment: 'cgroup', cgroup: { parent: outer } });
    expect(leaf.startsWith(`${outer}/`)).toBe(true);
    expect(await sweep({ parent })).toMatchObject([
      { path: outer, state: 'in-use' },
      { path: leaf, state: 'reaped' },
    ]);
    expect(place.leaves()).toEqual([basename(outer)]);
    await group.kill();
  });

  it('is left alone: it was released, and its supervisor is dead', async () => {
    const source = `
      const group = await spawn(member, ['-r', '3', 'sleep'], {
        ...${JSON.stringify(boxed('cgroup', place))}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'], lifetime: 'releasable' });
      await readReady(group.stdio[3]);
      group.release();
      console.log('ready ' + JSON.stringify({ pid: group.pid, guardian: group.mechanism.guardianPid }));`;
    const node = startNode({ source }, { env: scenario.env });
    const { pid, guardian } = await readReady<{ pid: number; guardian: number }>(
      node.stdout ?? expect.fail('no stdout'),
    );
    await once(node, 'exit');
    expect(await sweep({ parent })).toMatchObject([{ state: 'in-use', processes: 1 }]);
    process.kill(guardian, 'SIGKILL');
    await waitUntil(() => isDead(guardian));
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    expect(isDead(pid)).toBe(true);
  });

  it.skipIf(hugetlb !== '')('is left alone: what a supervisor has moved itself into holds its guardians', async () => {
    handDown('hugetlb');
    const cgroup = { supervisor: 'move', files: { 'hugetlb.2MB.max': '0' } };
    const source = `
      const group = await spawn(member, ['-r', '3', 'ignore-term'], { containment: 'cgroup', cgroup: ${JSON.stringify(cgroup)},
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [{ signal: 'SIGTERM', graceMs: 60_000 }] });
      await readReady(group.stdio[3]);
      console.log('ready ' + JSON.stringify({ pid: group.pid, guardian: group.mechanism.guardianPid }));
      setInterval(() => {}, 1e6);`;
    const node = startNode({ source }, { env: scenario.env, via: place.inside() });
    const { pid, guardian } = await readReady<{ pid: number; guardian: number }>(
      node.stdout ?? expect.fail('no stdout'),
    );
    node.kill('SIGKILL');
    await once(node, 'exit');
    const inUse = { state: 'in-use', processes: 1, error: null };
    expect(await sweep({ parent })).toMatchObject([inUse, inUse]);
    expect([pid, guardian].filter(isDead)).toEqual([]);
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isDead(guardian));
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped', processes: 0 }]);
  });

  it('is left alone: when its owner was started nobody knows', async () => {
    const space = statSync('/proc/self/ns/pid').ino;
    const unknown = join(place.path, `procgroup.${process.pid}.0.${space}.1`);
    mkdirSync(unknown);
    expect(await sweep({ parent })).toMatchObject([{ path: unknown, state: 'foreign' }]);
    rmdirSync(unknown);
  });

  it('is left alone: who sweeps lives in it', async () => {
    const { leaf } = await leave();
    const via = ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', leaf];
    const [file = '', ...args] = [...via, bin, 'sweep', place.path];
    const { code, stdout } = await runCli(args, { env: scenario.env, file });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^in-use /) });
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('is left alone: its supervisor lives, and is about to do it itself', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], boxed('cgroup', place));
    process.kill(group.mechanism.guardianPid ?? expect.fail('no guardian'), 'SIGKILL');
    const found = await sweep({ parent });
    for (const one of found) expect(one.state).toBe('in-use');
    expect(await group.gone).toMatchObject({ empty: true });
    expect(place.leaves()).toEqual([]);
  });
});

describe.skipIf(reason !== '')('sweep() refuses', () => {
  it('an abort: AbortError, before and while it looks', async () => {
    await expect(sweep({ parent, signal: AbortSignal.abort('no') })).rejects.toMatchObject({ code: 'ABORT_ERR' });
    const source = `
      const looking = procgroup.sweep({ signal: AbortSignal.timeout(200) });
      console.log(JSON.stringify(await looking.catch(({ name, code, cause }) => [name, code, cause?.name])));`;
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-sweep-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    const slow = join(folder, 'slow');
    writeFileSync(slow, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
    const env = { ...scenario.env, PROCGROUP_TEST_GUARDIAN: slow };
    expect(await runNodeJson({ source }, { env })).toEqual(['AbortError', 'ABORT_ERR', 'TimeoutError']);
  });

  it.each([
    ['a relative directory', { parent: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    ['a mode that is none', { mode: 'burn' }, 'ERR_INVALID_ARG_VALUE'],
    ['no options', 5, 'ERR_INVALID_ARG_TYPE'],
    ['a directory that is not there', { parent: '/no/such' }, 'ERR_SWEEP'],
  ])('%s', async (_, options, code) => {
    await expect(sweep(options as object)).rejects.toMatchObject({ name: 'ProcessGroupError', code });
  });

  it.each([
    [['--walk'], /unknown option '--walk'/],
    [['relative'], /not an absolute path/],
    [['/no/such'], /cannot read \/no\/such: ENOENT/],
  ])('procgroup sweep %s: 125 and one line', async (args, message) => {
    const { code, stderr } = await runJson(...args);
    expect(code).toBe(125);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('procgroup sweep: 125 stays 125, whatever else is found', async () => {
    await leave();
    const { code, stdout } = await runJson('--list', '/no/such', place.path);
    expect({ code, stdout }).toEqual({ code: 125, stdout: expect.stringMatching(/^abandoned /) });
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it.skipIf(whyNoMixedUids() !== '')('what is not ours to remove: it is told as failed', async () => {
    await leave();
    const [file = '', ...as] = unprivileged;
    const { code, stdout } = await runCli([...as, bin, 'sweep', place.path], { env: scenario.env, file });
    expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringMatching(/^failed .*: E(ACCES|PERM)\n$/) });
    expect(await sweep({ parent })).toMatchObject([{ state: 'reaped' }]);
    await waitUntil(() => scenario.alive().length === 0);
  });
});
