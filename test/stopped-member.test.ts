import { expect, it } from 'vitest';
import { stat, waitUntil } from './support/oracle.js';
import { startPlain } from './support/plain.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 30_000 }] as const;

// A vfork parent whose child is stopped reads D and cannot be stopped itself; a signal that ends it does so at once.
for (const [verb, state] of [
  ['stopped-member', 'T'],
  ['vfork-parent', 'D'],
] as const) {
  it(`G8: ${verb}: dies on the first terminating step, before its grace ends`, async () => {
    const { group, ready } = await startMember(scenario, [verb], { teardown });
    expect(stat(ready.members[0] ?? 0)?.state).toBe(state);
    const report = await group.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(report.steps.map((step) => step.signal)).not.toContain('SIGKILL');
    expect(report.durationMs).toBeLessThan(20_000);
  });

  it(`G8: control: a SIGTERM to the group without SIGCONT leaves ${verb}`, async () => {
    const { child, ready, exited } = await startPlain(scenario, [verb]);
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await exited;
    expect(scenario.alive()).toEqual([expect.objectContaining({ pid: ready.members.at(-1), state: 'T' })]);
  });
}

it('G8: a whole group that is stopped, leader included', async () => {
  const { group, pids } = await startMember(scenario, ['wide', '3'], { teardown });
  expect(group.signal('SIGSTOP')).toBe('group');
  await waitUntil(() => pids.every((pid) => stat(pid)?.state === 'T'));
  const report = await group.stop();
  expect(scenario.alive()).toEqual([]);
  expect(report).toMatchObject({ empty: true, survivors: [] });
  expect(report.steps.map((step) => step.signal)).not.toContain('SIGKILL');
  expect(await group.exited).toMatchObject({ code: null, signal: 'SIGTERM' });
});
