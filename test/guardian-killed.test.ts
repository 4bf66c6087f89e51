// S6: the guardian is SIGKILLed. The supervisor learns it at once, takes down what it can still name, and says so.
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import type { ProcessGroup } from '../dist/index.js';
import { killedAtRandom } from './support/guardian-rounds.js';
import { stat, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { Pinned, startTree, treeactor } from './support/trees.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 300 }] as const;
const guardianOf = (group: ProcessGroup): number => group.mechanism.guardianPid ?? expect.fail('no guardian');

it('S6: the tree is taken down, the handle says guardian-lost', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], { teardown });
  const states: string[] = [];
  group.onStateChange(({ state }) => states.push(state));
  process.kill(guardianOf(group), 'SIGKILL');
  const began = performance.now();
  const report = await group.gone;
  expect(performance.now() - began, 'at once: nobody is given a grace').toBeLessThan(2_000);
  expect(report).toMatchObject({ empty: true, cause: 'guardian', covers: 'tree', survivors: [] });
  expect(report.notes).toContain('guardian-lost');
  expect(scenario.alive()).toEqual([]);
  expect(group.state).toBe('empty');
  // Its parent is dead: nobody but the kernel can say how it ended, where the kernel can (Linux 6.15).
  const { code, signal, status } = await group.exited;
  expect([code, signal, status]).toEqual(status === 'exact' ? [null, 'SIGKILL', 'exact'] : [null, null, 'unknown']);
  await waitUntil(() => states.at(-1) === 'empty');
  expect(stat(guardianOf(group)), 'and it is reaped').toBeNull();
});

it('S6: during a teardown the report keeps its cause', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], {
    teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }],
  });
  const states: string[] = [];
  group.onStateChange(({ state }) => states.push(state));
  const stopping = group.stop();
  await waitUntil(() => group.state === 'draining');
  process.kill(guardianOf(group), 'SIGKILL');
  const report = await stopping;
  expect(report).toMatchObject({ empty: true, cause: 'stop', survivors: [] });
  expect(report.notes).toContain('guardian-lost');
  expect(scenario.alive()).toEqual([]);
  await waitUntil(() => states.at(-1) === 'empty');
  expect(
    states.filter((state) => state === 'draining'),
    'told once',
  ).toHaveLength(1);
});

it('S6: after the leader has exited its status stays what it was', async () => {
  const { group } = await startTree(scenario, 'member', ['leader-exits-first'], { teardown });
  const exit = await group.exited;
  process.kill(guardianOf(group), 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: 'guardian' });
  expect(await group.exited).toBe(exit);
  expect(exit).toMatchObject({ code: 0, status: 'exact' });
  expect(scenario.alive()).toEqual([]);
});

it('S6: stop(), kill(), members() and signal() after the loss answer', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], { teardown });
  process.kill(guardianOf(group), 'SIGKILL');
  const [one, two, three] = await Promise.all([group.stop(), group.kill(), group.gone]);
  expect(one).toBe(two);
  expect(two).toBe(three);
  expect(await group.members()).toEqual([]);
  expect(group.signal('SIGTERM')).toBe('gone');
  expect(scenario.alive()).toEqual([]);
});

it('S6: who cleared its environment cannot be named any more: what remains of the promise', async () => {
  const { group, ready } = await startTree(scenario, 'treeactor', ['masked'], { teardown });
  const pinned = new Pinned(ready.members);
  scenario.defer(() => pinned.kill());
  process.kill(guardianOf(group), 'SIGKILL');
  const report = await group.gone;
  expect(report.notes).toContain('guardian-lost');
  expect(report.evidence, 'no proof, and the report does not claim one').not.toBe('echild');
  expect(scenario.alive()).toEqual([]);
  expect(pinned.alive(), 'control: it did escape').toHaveLength(1);
});

it('S6: control: a tree whose guardian is killed and whose supervisor is dead too loses only the leader', async () => {
  scenario.leaves();
  const source = `
    const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
      containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    const { members } = await readReady(group.stdio[3]);
    console.log('ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid, ...members] }));
    setInterval(() => {}, 1e6);`;
  const node = startNode({ source }, { env: scenario.env });
  const said = await readReady(node.stdout ?? expect.fail('no stdout'));
  const [guardian = 0, ...members] = said.members;
  // Stopped first, so that neither sees the other's end.
  process.kill(node.pid ?? 0, 'SIGSTOP');
  process.kill(guardian, 'SIGSTOP');
  process.kill(guardian, 'SIGKILL');
  process.kill(node.pid ?? 0, 'SIGKILL');
  await once(node, 'exit');
  const left = () => scenario.alive().map(({ pid }) => pid);
  await waitUntil(() => !left().includes(said.pid), { what: 'the leader dies by its parent-death signal' });
  expect(left().sort()).toEqual(members.sort());
});

it('S6: at random moments spawn is refused, or the report names the loss; nobody is left', async () => {
  await killedAtRandom(150, scenario, { containment: 'tree', teardown });
}, 120_000);

it('S6: a supervisor that stood still with its guardian for longer than a teardown may take does not count it as lost', async () => {
  const bound = 200 + 100 + 2_000; // grace, killWaitMs, and what a guardian has beyond
  const source = `
    const group = await spawn('/bin/sh', ['-c', 'trap "" TERM; env -i setsid sleep 1000 & echo on; wait'], {
      stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 200 }], killWaitMs: 100 });
    await new Promise((resolve) => group.stdout.once('data', resolve));
    const stopping = group.stop();
    nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid] }) + '\\n');
    const { empty, evidence, notes } = await stopping;
    console.log(JSON.stringify({ empty, evidence, notes }));`;
  const node = startNode({ source }, { env: scenario.env });
  const stdout = node.stdout ?? expect.fail('no stdout');
  const { members } = await readReady(stdout);
  const both = [members[0] ?? 0, node.pid ?? 0];
  for (const pid of both) process.kill(pid, 'SIGSTOP');
  const until = performance.now() + bound + 300;
  await waitUntil(() => performance.now() > until, { everyMs: 100 });
  const said = text(stdout);
  for (const pid of both.reverse()) process.kill(pid, 'SIGCONT');
  await once(node, 'exit');
  expect(JSON.parse(await said)).toEqual({ empty: true, evidence: 'echild', notes: [] });
});
