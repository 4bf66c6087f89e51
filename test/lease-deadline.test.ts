// A lease is a deadline that JavaScript sets and renews, and that the engine keeps: also while JavaScript is blocked.
import { describe, expect, it } from 'vitest';
import { attach, type Containment, type ProcessGroup, type SpawnOptions } from '../dist/index.js';
import { waitUntil } from './support/oracle.js';
import { startPlain } from './support/plain.js';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';
import { stepSignals } from './support/trees.js';

const scenario = useScenario();
const containments: Containment[] = ['group', 'tree'];
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;

const start = async (verb: string, options: SpawnOptions): Promise<ProcessGroup> =>
  (await startMember(scenario, [verb], { teardown, ...options })).group;

describe.each(containments)('H7: a lease under containment %s', (containment) => {
  it('H7: runs out and begins the ladder, with cause lease', async () => {
    const group = await start('grandchild-ignores-term', { containment, leaseMs: 300 });
    const report = await group.gone;
    expect(report).toMatchObject({ empty: true, cause: 'lease', survivors: [] });
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(scenario.alive()).toEqual([]);
    expect(group.renewLease(1_000)).toBe(false);
  });

  it('H7: is moved by each renewal, and taken away by Infinity', async () => {
    const group = await start('sleep', { containment, leaseMs: 800 });
    const until = performance.now() + 2_000;
    let renewals = 0;
    await waitUntil(() => {
      expect(group.renewLease(800)).toBe(true);
      renewals++;
      return performance.now() > until;
    });
    expect(renewals).toBeGreaterThan(3);
    expect(group.state).toBe('running');
    expect(group.renewLease(Number.POSITIVE_INFINITY)).toBe(true);
    const later = performance.now() + 1_200;
    await waitUntil(() => performance.now() > later);
    expect(group.state).toBe('running');
    expect(group.renewLease(1)).toBe(true);
    expect(await group.gone).toMatchObject({ empty: true, cause: 'lease' });
  });

  it('H7: renewLease(0) ends it now, and tells who did', async () => {
    const group = await start('sleep', { containment });
    expect([group.renewLease(0), group.renewLease(0), group.renewLease(1_000)]).toEqual([true, false, false]);
    expect(await group.stop()).toMatchObject({ empty: true, cause: 'lease' });
    expect(group.renewLease(0)).toBe(false);
  });

  it('H7: cannot be renewed once another cause has begun the teardown', async () => {
    const group = await start('grandchild-ignores-term', { containment, leaseMs: 30_000 });
    const stopped = group.stop();
    expect(group.renewLease(30_000)).toBe(false);
    expect(group.renewLease(0)).toBe(false);
    expect(await stopped).toMatchObject({ empty: true, cause: 'stop' });
  });

  it('H7: holds for the members of a leader that has ended', async () => {
    const group = await start('leader-exits-first', { containment, leaseMs: 30_000 });
    await group.exited;
    expect(group.renewLease(50)).toBe(true);
    expect(await group.gone).toMatchObject({ empty: true, cause: 'lease' });
    expect(scenario.alive()).toEqual([]);
  });

  it('H7: of a group that ended by itself is over', async () => {
    const group = await start('leader-exits-first', { containment, leaseMs: 30_000 });
    await group.exited;
    for (const { pid } of await group.members()) process.kill(pid, 'SIGKILL');
    expect(await group.gone).toMatchObject({ empty: true, cause: null });
    expect(group.renewLease(1_000)).toBe(false);
  });

  it('H7: runs out while JavaScript is blocked, and cannot be renewed afterwards in the same turn', async () => {
    const answer = await runNodeJson<Record<string, unknown>>(
      {
        source: `
          const group = await spawn(member, ['-r', '3', 'grandchild-ignores-term'], {
            containment: ${JSON.stringify(containment)}, leaseMs: 300, teardown: ${JSON.stringify(teardown)},
            stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
          });
          const { members } = await readReady(group.stdio[3]);
          const dead = () => [group.pid, ...members].every((pid) => oracle.isDead(pid));
          const began = performance.now();
          const held = dead();
          while (!dead() && performance.now() < began + 10_000);
          const blockedMs = performance.now() - began;
          const renewed = group.renewLease(60_000);
          console.log(JSON.stringify({ held, blockedMs, renewed, report: await group.gone }));`,
      },
      { env: scenario.env },
    );
    expect(answer).toMatchObject({ held: false, renewed: false, report: { empty: true, cause: 'lease' } });
    expect(answer.blockedMs).toBeLessThan(300 + 200 + 250 + 1_000);
  });

  it('H7: a renewal at the moment when it runs out is either in time or refused, never both', async () => {
    const seen = { true: 0, false: 0 };
    const rounds = Array.from({ length: scaled(60) }, (_, i) => 2 + (i % 20) / 10);
    for (const afterMs of [...rounds, 0, 100]) {
      const group = await start('sleep', { containment, teardown: [] });
      expect(group.renewLease(3)).toBe(true);
      const moment = performance.now() + afterMs;
      while (performance.now() < moment);
      const inTime = group.renewLease(60_000);
      seen[`${inTime}`]++;
      const report = inTime ? await group.stop() : await group.gone;
      expect(report).toMatchObject({ empty: true, cause: inTime ? 'stop' : 'lease' });
    }
    expect(seen.true, 'control: some in time').toBeGreaterThan(0);
    expect(seen.false, 'control: some too late').toBeGreaterThan(0);
  });
});

it('H7: control: without a lease it lives on while JavaScript is blocked', async () => {
  const group = await start('sleep', { containment: 'tree' });
  const until = performance.now() + 600;
  while (performance.now() < until);
  expect(scenario.alive().length).toBeGreaterThan(0);
  expect(group.renewLease(1_000)).toBe(true);
  await group.stop();
});

it('H7: the leader alone, and a group that somebody else started, can have a lease', async () => {
  const alone = await start('sleep', { containment: 'leader', isolation: 'inherit', leaseMs: 50 });
  expect(await alone.gone).toMatchObject({ empty: true, cause: 'lease', covers: 'leader' });
  const { child, exited } = await startPlain(scenario, ['sleep']);
  const group = await attach(child.pid ?? 0, { teardown });
  expect(group.renewLease(50)).toBe(true);
  expect(await group.gone).toMatchObject({ empty: true, cause: 'lease' });
  expect(await exited).toEqual([null, 'SIGTERM']);
});

it('H7: a released group has no lease any more', async () => {
  scenario.leaves();
  const group = await start('sleep', { containment: 'tree', lifetime: 'releasable', leaseMs: 200 });
  group.release();
  const later = performance.now() + 500;
  await waitUntil(() => performance.now() > later);
  expect(scenario.alive().map(({ pid }) => pid)).toContain(group.pid);
  expect(await group.kill()).toMatchObject({ empty: true, cause: 'stop' });
});

it('H7: a spawn that fails leaves no lease behind, and bad values are refused', async () => {
  const refused = async (leaseMs: unknown) =>
    start('sleep', { leaseMs: leaseMs as number }).then(String, (error) => error.code);
  expect(await refused('1')).toBe('ERR_INVALID_ARG_TYPE');
  expect(await refused(-1)).toBe('ERR_OUT_OF_RANGE');
  expect(await refused(0)).toBe('ERR_OUT_OF_RANGE');
  expect(await refused(Number.NaN)).toBe('ERR_OUT_OF_RANGE');
  const group = await start('sleep', { leaseMs: Number.POSITIVE_INFINITY });
  for (const [value, code] of [
    [undefined, 'ERR_INVALID_ARG_TYPE'],
    ['1', 'ERR_INVALID_ARG_TYPE'],
    [-1, 'ERR_OUT_OF_RANGE'],
    [Number.NaN, 'ERR_OUT_OF_RANGE'],
  ] as const) {
    expect(() => group.renewLease(value as number)).toThrow(expect.objectContaining({ code }));
  }
  expect(group.state).toBe('running');
  await group.stop();
});
