// Large trees: verified empty, by ECHILD and not by a count.
import { expect, it } from 'vitest';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startTree } from './support/trees.js';

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
