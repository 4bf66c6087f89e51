// G15: a released tree runs on. Its guardian stays as its reaper, and ignores the end of the supervisor.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isDead, stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { type Ready, readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { startTree, treeactor } from './support/trees.js';

const scenario = useScenario();

interface Said extends Ready {
  guardian: number;
}

const subject = (release: string, end: string, lifetime = 'releasable') => `
  const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
    containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], lifetime: '${lifetime}',
    teardown: [{ signal: 'SIGTERM', graceMs: 100 }], exitGraceMs: 100,
  });
  const { members } = await readReady(group.stdio[3]);
  group.stdio[3].destroy();
  ${release}
  nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members, guardian: group.mechanism.guardianPid }) + '\\n');
  ${end}`;

async function endOf(source: string, env = scenario.env): Promise<Said> {
  const node = startNode({ source }, { env });
  node.stderr?.pipe(process.stderr);
  const ended = once(node, 'exit');
  const said = await readReady<Said>(node.stdout ?? expect.fail('no stdout'));
  await ended;
  return said;
}

describe.each([
  ['process.exit()', 'process.exit(0);'],
  ['returning', 'group.unref();'],
  ['dispose', 'await group[Symbol.asyncDispose]();'],
  ['SIGKILL', "process.kill(process.pid, 'SIGKILL');"],
])('%s', (_name, end) => {
  it('G15: a released tree is left alone, its guardian still reaps', async () => {
    scenario.leaves();
    const { pid, members, guardian } = await endOf(subject('group.release();', end));
    const all = [guardian, pid, ...members].sort();
    const alive = () =>
      scenario
        .alive()
        .map((one) => one.pid)
        .sort();
    expect(alive()).toEqual(all);
    expect(stat(pid)?.ppid).toBe(guardian);
    process.kill(members[0] ?? 0, 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => stat(pid) === null && stat(members[0] ?? 0) === null, { what: 'both are reaped' });
    expect(isDead(guardian)).toBe(false);
    // With its last member the guardian goes too.
    for (const one of members.slice(1)) process.kill(one, 'SIGKILL');
    await waitUntil(() => alive().length === 0, { what: 'the guardian ends with the tree' });
  });

  it('G15: control: the same tree without release() is gone', async () => {
    await endOf(subject('', end));
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 5_000 });
  });
});

it.each([
  ['process.exit()', 'process.exit(0);'],
  ['SIGKILL', "process.kill(process.pid, 'SIGKILL');"],
])('G15: a guardian that comes late hears of the release before it hears of the end: %s', async (_name, end) => {
  scenario.leaves();
  const release = `process.kill(group.mechanism.guardianPid, 'SIGSTOP'); group.release();`;
  const { pid, members, guardian } = await endOf(subject(release, end));
  process.kill(guardian, 'SIGCONT');
  // Each death is reaped after the guardian has looked at its socket; the second after what it did then has had its effect.
  const reaped = async (one: number) => {
    process.kill(one, 'SIGKILL');
    await waitUntil(() => stat(one) === null, { what: 'it is reaped' });
  };
  await reaped(pid);
  const orphan = members.find((one) => stat(one)?.ppid === guardian) ?? 0;
  await reaped(orphan);
  expect([guardian, ...members].filter(isDead)).toEqual([orphan]);
});

it('G15: a tree needs no declaration at spawn: its parent-death signal is that of its guardian, which stays', async () => {
  scenario.leaves();
  const { pid, members, guardian } = await endOf(subject('group.release();', 'process.exit(0);', 'bound'));
  expect(
    scenario
      .alive()
      .map((one) => one.pid)
      .sort(),
  ).toEqual([guardian, pid, ...members].sort());
});

it("G15: a release that finds the guardian's socket full is not lost", async () => {
  scenario.leaves();
  const release = `
    const guardian = group.mechanism.guardianPid;
    process.kill(guardian, 'SIGSTOP');
    await oracle.waitUntil(() => oracle.stat(guardian)?.state === 'T');
    for (let i = 0; i < 600; i++) try { group.signal('SIGCONT'); } catch {}
    group.release();
    const asked = group.members();
    process.kill(guardian, 'SIGCONT');
    const listed = await asked;
    if (listed.length !== members.length + 1) throw new Error('members() names ' + listed.length);`;
  const disabled = [process.env.PROCGROUP_TEST_DISABLE, 'pidfd_group'].filter(Boolean).join(',');
  const env = { ...scenario.env, PROCGROUP_TEST_DISABLE: disabled };
  const { pid, members, guardian } = await endOf(subject(release, 'process.exit(0);'), env);
  expect(
    scenario
      .alive()
      .map((one) => one.pid)
      .sort(),
  ).toEqual([guardian, pid, ...members].sort());
});

it('G15: a released handle: stop() still works', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], {
    teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
  });
  group.release();
  group.release();
  await group[Symbol.asyncDispose]();
  expect(scenario.alive().length).toBe(6);
  expect(group.state).toBe('running');
  expect(await group.stop()).toMatchObject({ empty: true, cause: 'stop', evidence: 'echild' });
  expect(scenario.alive()).toEqual([]);
});

it('G15: a released tree that ends by itself is reaped, and says so', async () => {
  const { group } = await startTree(scenario, 'member', ['sleep']);
  group.release();
  process.kill(group.pid, 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: null });
  expect(scenario.alive()).toEqual([]);
  expect(zombieChildrenOf()).toEqual([]);
});

it('G15: a released tree is not torn down at timeoutMs', async () => {
  const { group, pids } = await startTree(scenario, 'treeactor', ['mixed'], { timeoutMs: 150, teardown: [] });
  group.release();
  // Control, and the clock of this test: the same timeout of a tree that starts later and is not released.
  const other = await startTree(scenario, 'treeactor', ['mixed'], { timeoutMs: 150, teardown: [] });
  expect(await other.group.gone).toMatchObject({ empty: true, cause: 'timeout' });
  expect(group.state).toBe('running');
  expect(
    scenario
      .alive()
      .map(({ pid }) => pid)
      .sort(),
  ).toEqual([group.mechanism.guardianPid, ...pids].sort());
  expect(await group.stop()).toMatchObject({ empty: true, cause: 'stop' });
});

it('G15: a released tree that loses its guardian is left alone, and its end is told when it comes', async () => {
  scenario.leaves();
  const { group, pids } = await startTree(scenario, 'treeactor', ['mixed'], { lifetime: 'releasable', teardown: [] });
  group.release();
  const told: string[] = [];
  void group.exited.then(() => told.push('exited'));
  void group.gone.then(() => told.push('gone'));
  process.kill(group.mechanism.guardianPid ?? 0, 'SIGKILL');
  await waitUntil(() => isDead(group.mechanism.guardianPid ?? 0));
  const alive = () => scenario.alive().map(({ pid }) => pid);
  expect(alive().sort()).toEqual([...pids].sort());
  expect(await group.members()).toHaveLength(pids.length);
  process.kill(group.pid, 'SIGKILL');
  await group.exited;
  expect(told).toEqual(['exited']);
  for (const pid of alive()) process.kill(pid, 'SIGKILL');
  expect(await group.gone).toMatchObject({
    empty: true,
    cause: null,
    evidence: 'unverified',
    survivors: [],
    notes: ['guardian-lost'],
  });
});

it('G15: control: the same tree, not released, is taken down', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], { lifetime: 'releasable', teardown: [] });
  process.kill(group.mechanism.guardianPid ?? 0, 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: 'guardian' });
  expect(scenario.alive()).toEqual([]);
});

it('G15: the guardian of a released tree is killed: the leader ends and is told, who runs on is left, and stop() finds it', async () => {
  const { group, ready } = await startTree(scenario, 'treeactor', ['mixed'], {
    teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
  });
  group.release();
  process.kill(group.mechanism.guardianPid ?? 0, 'SIGKILL');
  let settled = false;
  void group.gone.then(() => {
    settled = true;
  });
  await group.exited;
  await group.closed;
  await waitUntil(() => isDead(group.pid));
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(expect.arrayContaining(ready.members as never[]));
  expect(settled).toBe(false);
  const report = await group.stop();
  expect(report).toMatchObject({ empty: true, cause: 'stop', evidence: 'unverified' });
  expect(report.notes).toContain('guardian-lost');
  expect(scenario.alive()).toEqual([]);
});
