import { describe, expect, it } from 'vitest';
import { startPlain } from './support/plain.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const graceMs = 200;
const teardown = [{ signal: 'SIGTERM', graceMs }] as const;

function signals(report: { steps: { signal: string }[] }): string[] {
  return report.steps.map((step) => step.signal).filter((signal) => signal !== 'SIGCONT');
}

describe.each(['group', 'session'] as const)('isolation %s', (isolation) => {
  it('G3: a grandchild that ignores SIGTERM is killed when the grace ends, and only then stop() resolves', async () => {
    const { group, pids } = await startMember(scenario, ['grandchild-ignores-term'], {
      isolation,
      containment: 'group',
      teardown,
    });
    expect(scenario.alive().map(({ pid }) => pid)).toEqual(expect.arrayContaining(pids));
    const report = await group.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ empty: true, cause: 'stop', covers: 'group', survivors: [] });
    expect(signals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    const kill = report.steps.find((step) => step.signal === 'SIGKILL');
    expect(kill?.atMs).toBeGreaterThanOrEqual(graceMs - 1);
    expect(await group.exited).toMatchObject({ code: 0, signal: null, status: 'exact' });
    expect(group.state).toBe('empty');
  });

  it('G4: the leader has been reaped before stop() is called', async () => {
    const { group, ready } = await startMember(scenario, ['leader-exits-first'], {
      isolation,
      containment: 'group',
      teardown,
    });
    expect(await group.exited).toMatchObject({ code: 0, signal: null });
    expect(group.state).toBe('leader-exited');
    expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
    const report = await group.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ empty: true, cause: 'stop', survivors: [] });
    expect(signals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(await group.gone).toBe(report);
  });

  it('G4: stop() while the leader is ending', async () => {
    const { group } = await startMember(scenario, ['leader-exits-first'], {
      isolation,
      containment: 'group',
      teardown,
    });
    const report = await group.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ empty: true, survivors: [] });
    // Whichever came first.
    const { code, signal, status } = await group.exited;
    expect([code, signal, status]).toEqual(code === 0 ? [0, null, 'exact'] : [null, 'SIGTERM', 'exact']);
  });
});

it('G4: members() and signal() reach the group of a leader that is gone', async () => {
  const { group, ready } = await startMember(scenario, ['leader-exits-first'], { containment: 'group', teardown });
  await group.exited;
  const [last] = ready.members;
  expect((await group.members()).map(({ pid }) => pid)).toEqual([last]);
  expect(group.signal('SIGKILL')).toMatch(/^(group|members)$/);
  const report = await group.gone;
  expect(report).toMatchObject({ empty: true, cause: null, steps: [] });
  expect(scenario.alive()).toEqual([]);
  expect(group.signal('SIGTERM')).toBe('gone');
  expect(await group.members()).toEqual([]);
});

it('G4: a member that ends by itself after the leader makes the group empty, without a teardown', async () => {
  const { group, ready } = await startMember(scenario, ['leader-exits-first'], { containment: 'group' });
  await group.exited;
  process.kill(ready.members[0] ?? 0, 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: null, steps: [] });
  const late = await group.stop();
  expect(late).toBe(await group.gone);
});

it('G3: control: containment leader signals the leader alone and leaves the grandchild', async () => {
  scenario.leaves();
  const { group, ready } = await startMember(scenario, ['grandchild-ignores-term'], {
    containment: 'leader',
    teardown,
  });
  expect(await group.stop()).toMatchObject({ empty: true, covers: 'leader', evidence: 'leader' });
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
});

it('G3: control: child_process leaves the grandchild', async () => {
  const { child, ready, exited } = await startPlain(scenario, ['grandchild-ignores-term']);
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
});
