// Large trees: verified empty, by ECHILD and not by a count.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startTree, treeactor } from './support/trees.js';

const scenario = useScenario();
const gone = {
  empty: true,
  cause: 'stop',
  evidence: 'echild',
  covers: 'tree',
  survivors: [],
  steps: [{ signal: 'SIGKILL' }],
};
const sizes = { 'detached-wide': 1_000, 'detached-deep': 500 };

for (const verb of ['detached-wide', 'detached-deep'] as const) {
  const count = scaled(sizes[verb]);

  it(`E4: ${verb}, ${count} processes each in a session of its own: verified empty`, async () => {
    const { group, ready, pids } = await startTree(scenario, 'treeactor', [verb, String(count)], { teardown: [] });
    expect(ready.members).toHaveLength(count);
    const members = await group.members();
    expect(members.map(({ pid }) => pid).sort()).toEqual([...pids].sort());
    expect(new Set(members.map(({ sid }) => sid)).size).toBe(count + 1);
    expect(scenario.alive()).toHaveLength(count + 2);
    const report = await group.stop();
    expect(report).toMatchObject(gone);
    expect(scenario.alive()).toEqual([]);
  });

  it(`E4: ${verb}: a gentle ladder reaches every session`, async () => {
    const { group } = await startTree(scenario, 'treeactor', [verb, '100'], {
      teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }],
    });
    const report = await group.stop();
    expect(report).toMatchObject({ empty: true, evidence: 'echild', steps: [{ signal: 'SIGTERM' }] });
    expect(report.durationMs).toBeLessThan(20_000);
    expect(scenario.alive()).toEqual([]);
  });

  it(`E4: control: ${verb} under containment group leaves all of them`, async () => {
    scenario.leaves();
    const { group, ready } = await startTree(scenario, 'treeactor', [verb, '40'], {
      teardown: [],
      containment: 'group',
    });
    expect(await group.stop()).toMatchObject({ empty: true });
    expect(
      scenario
        .alive()
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual([...ready.members].sort());
  });
}

it('E4: more zombies than a guardian takes in one round are all taken, though nothing wakes it again', async () => {
  const { group, ready } = await startTree(scenario, 'treeactor', ['detached-wide', '1100']);
  const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
  process.kill(guardian, 'SIGSTOP');
  await waitUntil(() => stat(guardian)?.state === 'T');
  for (const pid of [...ready.members, group.pid]) process.kill(pid, 'SIGKILL');
  await waitUntil(() => zombieChildrenOf(guardian).length > 1_100, { what: 'they are zombies' });
  process.kill(guardian, 'SIGCONT');
  expect(await group.gone).toMatchObject({ empty: true, cause: null, evidence: 'echild', survivors: [], notes: [] });
});

it('E4: members() is whole, however many there are and however late they are read', async () => {
  const count = 700;
  const times = 8; // more news than a socket holds, many times over
  const source = `
    const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'detached-wide', '${count}'], {
      containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [] });
    await readReady(group.stdio[3]);
    nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members: [group.mechanism.guardianPid] }) + '\\n');
    process.stdin.once('data', async () => {
      const sizes = [];
      // All are under way together; each answer is for everybody who waits then.
      const lists = Array.from({ length: ${times} }, () => group.members());
      nodeFs.writeSync(1, 'asked\\n');
      await Promise.all(lists);
      for (let i = 0; i < ${times}; i++) sizes.push((await group.members()).length);
      const { empty } = await group.stop();
      console.log(JSON.stringify({ sizes, empty }));
      process.exit(0);
    });`;
  const node = startNode({ source }, { env: scenario.env, input: '' });
  const stdout = node.stdout ?? expect.fail('no stdout');
  const [guardian = 0] = (await readReady(stdout)).members;
  let said = '';
  stdout.on('data', (chunk) => {
    said += chunk;
  });
  stdout.resume();
  process.kill(guardian, 'SIGSTOP');
  await waitUntil(() => stat(guardian)?.state === 'T');
  node.stdin?.write('go\n');
  await waitUntil(() => said.includes('asked'), { what: 'the orders' });
  node.kill('SIGSTOP');
  await waitUntil(() => stat(node.pid ?? 0)?.state === 'T');
  process.kill(guardian, 'SIGCONT');
  const switches = () => /^voluntary.*$/m.exec(readFileSync(`/proc/${guardian}/status`, 'latin1'))?.[0];
  let before: string | undefined;
  await waitUntil(
    () => {
      const idle = stat(guardian)?.state === 'S' && switches() === before;
      before = switches();
      return idle;
    },
    { what: 'it has told all that the socket holds', everyMs: 100 },
  );
  node.kill('SIGCONT');
  await once(node, 'close');
  expect(JSON.parse(said.replace('asked\n', ''))).toEqual({
    sizes: Array.from({ length: times }, () => count + 1),
    empty: true,
  });
});
