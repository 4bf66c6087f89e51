// Whoever leaves the group, the session or the parent is still of the tree.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, spawn } from '../dist/index.js';
import { subjectEnv } from './support/environment.mjs';
import { alive, isDead, newMark, stat, waitUntil } from './support/oracle.js';
import { dist, member, root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { quiet } from './support/start.js';
import { type Actor, guardiansOf, startTree, stepSignals, treeactor } from './support/trees.js';

const scenario = useScenario();
const graceMs = 150;
const teardown = [{ signal: 'SIGTERM', graceMs }] as const;
const gone = { empty: true, cause: 'stop', evidence: 'echild', covers: 'tree', survivors: [] };

const escapes: [name: string, actor: Actor, args: string[]][] = [
  ['setsid', 'member', ['setsid']],
  ['a double fork', 'member', ['double-fork']],
  ['daemon()', 'treeactor', ['daemon']],
  ['setpgid inside', 'member', ['setpgid']],
  ['a subreaper inside', 'treeactor', ['subreaper']],
  ['all of them, ignoring SIGTERM', 'treeactor', ['mixed']],
];

describe.each(escapes)('E1: %s', (_name, actor, args) => {
  it('E1: is gone with stop()', async () => {
    const { group, pids } = await startTree(scenario, actor, args, { teardown });
    const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
    const seen = scenario.alive().map(({ pid }) => pid);
    expect(seen.sort()).toEqual([guardian, ...pids].sort());
    expect(stat(group.pid)?.ppid).toBe(guardian);
    expect(await group.stop()).toMatchObject(gone);
    expect(scenario.alive()).toEqual([]);
    expect(stat(guardian), 'the guardian is reaped').toBeNull();
  });

  it('E1: is gone with stop() after the leader was killed', async () => {
    const { group, ready } = await startTree(scenario, actor, args, { teardown });
    process.kill(group.pid, 'SIGKILL');
    expect(await group.exited).toMatchObject({ code: null, signal: 'SIGKILL', status: 'exact' });
    expect(group.state).toBe('leader-exited');
    expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([...ready.members].sort());
    expect(await group.stop()).toMatchObject(gone);
    expect(scenario.alive()).toEqual([]);
  });

  it('E1: control: containment group leaves it, and the oracle sees it', async () => {
    scenario.leaves();
    const { group, ready } = await startTree(scenario, actor, args, { teardown, containment: 'group' });
    expect(await group.stop()).toMatchObject({ empty: true, covers: 'group' });
    const left = scenario.alive().map(({ pid }) => pid);
    expect(left.length).toBeGreaterThan(0);
    expect(ready.members).toEqual(expect.arrayContaining(left));
  });
});

/** A shell that starts a detached sleep, which is what the ready line waits for. */
const nohup = `nohup setsid sh -c 'echo "ready {\\"pid\\":$$,\\"members\\":[]}" >&3; exec sleep 300 3>&-' >/dev/null 2>&1 & wait`;

async function startShell(containment: 'tree' | 'group'): Promise<{ group: ProcessGroup; sleeper: number }> {
  const options = { env: scenario.env, stdio: quiet, containment, teardown } as const;
  const group = (await spawn('/bin/sh', ['-c', nohup], options)) as ProcessGroup;
  const { pid: sleeper } = await readReady(group.stdio[3] as Readable);
  return { group, sleeper };
}

it('E1: a nohup setsid shell is gone', async () => {
  const { group, sleeper } = await startShell('tree');
  expect(stat(sleeper)?.sid).toBe(sleeper);
  expect(await group.stop()).toMatchObject(gone);
  expect(scenario.alive()).toEqual([]);
});

it('E1: control: containment group leaves the nohup setsid shell', async () => {
  scenario.leaves();
  const { group, sleeper } = await startShell('group');
  expect(await group.stop()).toMatchObject({ empty: true });
  expect(scenario.alive().map(({ pid }) => pid)).toEqual([sleeper]);
});

/** A supervisor of our own, whose tree has a guardian of its own that ignores SIGTERM. */
const nested = (containment: string) => `
  import { spawn } from ${JSON.stringify(`${dist}index.js`)};
  const group = await spawn(${JSON.stringify(treeactor)}, ['mixed'], {
    containment: '${containment}', stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 60_000 }],
  });
  await new Promise((resolve) => group.stdout.once('data', resolve));
  console.log('ready ' + JSON.stringify({ pid: process.pid, members: [group.pid, group.mechanism.guardianPid] }));
  setInterval(() => {}, 1e6);`;

async function startNested(outer: 'tree' | 'group', inner: 'tree' | 'group') {
  const options = { env: subjectEnv(scenario.env), containment: outer, cwd: root, teardown } as const;
  const group = await spawn(process.execPath, ['--input-type=module', '-e', nested(inner)], options);
  const said = await readReady(group.stdout);
  return { group, leader: said.members[0] ?? 0, guardian: said.members[1] ?? 0 };
}

it('E1: nested supervisors: a tree inside a tree is gone, its guardian too', async () => {
  const { group, leader, guardian } = await startNested('tree', 'tree');
  expect(stat(leader)?.ppid).toBe(guardian);
  const own = [group.pid, group.mechanism.guardianPid, leader, guardian];
  // Two Node-side processes, two guardians, the leader inside and its four members.
  expect(scenario.alive()).toHaveLength(8);
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(expect.arrayContaining(own));
  expect(await group.stop()).toMatchObject(gone);
  expect(scenario.alive()).toEqual([]);
});

it('E1: nested supervisors: a group inside a tree is gone', async () => {
  const { group } = await startNested('tree', 'group');
  expect(await group.stop()).toMatchObject(gone);
  expect(scenario.alive()).toEqual([]);
});

it('E1: control: a group inside a group survives its supervisor', async () => {
  scenario.leaves();
  const { group } = await startNested('group', 'group');
  expect(await group.stop()).toMatchObject({ empty: true });
  expect(scenario.alive().length).toBeGreaterThan(0);
});

it('E1: the guardian adopts what is orphaned inside the tree', async () => {
  const { group, ready } = await startTree(scenario, 'member', ['double-fork'], { teardown });
  const [orphan = 0] = ready.members;
  expect(stat(orphan)?.ppid).toBe(group.mechanism.guardianPid);
  process.kill(orphan, 'SIGKILL');
  await waitUntil(() => stat(orphan) === null, { what: 'the orphan is reaped' });
  expect(group.state).toBe('running');
  expect(await group.stop()).toMatchObject(gone);
});

it('E1: a tree whose leader ended goes on, and is gone when its last member ends', async () => {
  const { group, ready } = await startTree(scenario, 'member', ['leader-exits-first']);
  expect(await group.exited).toMatchObject({ code: 0 });
  const [last = 0] = ready.members;
  expect(stat(last)?.ppid).toBe(group.mechanism.guardianPid);
  process.kill(last, 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: null, evidence: 'echild', steps: [] });
  expect(scenario.alive()).toEqual([]);
});

describe('E3: a member that answers SIGTERM by forking a detached copy of itself', () => {
  it('E3: is gone', async () => {
    const { group, ready } = await startTree(scenario, 'treeactor', ['fork-on-term'], { teardown });
    const report = await group.stop();
    expect(report).toMatchObject(gone);
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(ready.members.map(isDead)).toEqual([true]);
    expect(scenario.alive()).toEqual([]);
  });

  it('E3: is gone after three rounds of SIGTERM', async () => {
    const rounds = Array.from({ length: 3 }, () => ({ signal: 'SIGTERM', graceMs: 30 }) as const);
    const { group } = await startTree(scenario, 'treeactor', ['fork-on-term'], { teardown: rounds });
    expect(await group.stop()).toMatchObject(gone);
    expect(scenario.alive()).toEqual([]);
  });

  it('E3: control: containment group reports its group empty and leaves the copy', async () => {
    scenario.leaves();
    const { group, ready } = await startTree(scenario, 'treeactor', ['fork-on-term'], {
      teardown,
      containment: 'group',
    });
    expect(await group.stop()).toMatchObject({ empty: true, covers: 'group' });
    const left = scenario.alive().map(({ pid }) => pid);
    expect(left).toHaveLength(1);
    expect(ready.members).not.toContain(left[0]);
  });
});

it('E1: two trees at once: the end of one leaves the other alone', async () => {
  const marks = [newMark(), newMark()];
  const [one, two] = await Promise.all(
    marks.map(({ env }) => startTree(scenario, 'treeactor', ['mixed'], { env: { ...scenario.env, ...env }, teardown })),
  );
  if (!one || !two) throw new Error('two trees');
  const before = alive(marks[1]?.id ?? '').length;
  expect(await one.group.stop()).toMatchObject(gone);
  expect(alive(marks[0]?.id ?? '')).toEqual([]);
  expect(alive(marks[1]?.id ?? '')).toHaveLength(before);
  expect(two.group.state).toBe('running');
  expect(await two.group.kill()).toMatchObject(gone);
  expect(alive(marks[1]?.id ?? '')).toEqual([]);
  expect(guardiansOf()).toEqual([]);
});

it('E1: a leader under isolation session and inherit is contained all the same', async () => {
  for (const isolation of ['session', 'inherit'] as const) {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { isolation, teardown });
    expect(await group.stop(), isolation).toMatchObject(gone);
    expect(scenario.alive(), isolation).toEqual([]);
  }
});

it('E1: control: containment leader leaves all but the leader', async () => {
  scenario.leaves();
  const { group, ready } = await startTree(scenario, 'treeactor', ['mixed'], { containment: 'leader', teardown });
  await group.kill();
  expect(
    scenario
      .alive()
      .map(({ pid }) => pid)
      .sort(),
  ).toEqual([...ready.members].sort());
});

it('every verb of the treeactor is used by a test', () => {
  const verbs = execFileSync(treeactor, ['--verbs'], { encoding: 'utf8' }).trim().split('\n');
  const tests = readdirSync(`${root}test`)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(`${root}test/${name}`, 'utf8'))
    .join('\n');
  expect(verbs.length).toBeGreaterThan(8);
  expect(verbs.filter((verb) => !tests.includes(`'${verb}'`))).toEqual([]);
});

describe.each(['tree', 'group'] as const)(
  "G2: a member that joined the supervisor's own group, containment %s",
  (containment) => {
    it('G2: is taken down alone: the supervisor and its siblings get no signal', async () => {
      const source = `
      import { once } from 'node:events';
      const sibling = nodeProcess.spawn(${JSON.stringify(member)}, ['report-signals'], { stdio: ['ignore', 'pipe', 'inherit'] });
      await readReady(sibling.stdout);
      const heard = [];
      for (const name of ['SIGTERM', 'SIGCONT', 'SIGINT']) process.on(name, () => heard.push(name));
      const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'join-group', String(process.pid)], {
        containment: '${containment}', stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
        teardown: [{ signal: 'SIGTERM', graceMs: 200 }, { signal: 'SIGINT', graceMs: 200 }],
      });
      const { members } = await readReady(group.stdio[3]);
      const joined = oracle.stat(members[0]).pgid === process.pid;
      const report = await group.stop();
      const alive = !oracle.isDead(members[0]);
      sibling.kill('SIGKILL');
      const [, signal] = await once(sibling, 'exit');
      let said = '';
      for await (const chunk of sibling.stdout) said += chunk;
      console.log(JSON.stringify({ joined, empty: report.empty, alive, heard, said }));
      process.exit(0);`;
      scenario.leaves();
      // In a session and a group of its own, which would be hit.
      const said = await runNodeJson({ source }, { env: scenario.env, via: ['setsid'], timeoutMs: 20_000 });
      expect(said).toEqual({ joined: true, empty: true, alive: containment === 'group', heard: [], said: '' });
    });
  },
);
