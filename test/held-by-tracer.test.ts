import { spawn as spawnPlain } from 'node:child_process';
import { release } from 'node:os';
import { describe, expect, it } from 'vitest';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { tracer } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { type Scenario, useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const killWaitMs = 600;
const containments = ['group', 'tree'] as const;
/** PIDFD_INFO_EXIT, since Linux 6.15: the status of who is not our child. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const tellsOfOthers =
  (major > 6 || (major === 6 && minor >= 15)) &&
  !process.env.PROCGROUP_TEST_DISABLE?.split(',').some((name) => name === 'pidfd' || name === 'pidfd_info');
const ladder = { teardown: [{ signal: 'SIGTERM', graceMs: 100 }], killWaitMs } as const;

async function attachTracer(s: Scenario, mode: 'exit-stop' | 'no-wait', pid: number): Promise<() => void> {
  const child = spawnPlain(tracer, [mode, String(pid)], { env: s.env, stdio: ['ignore', 'pipe', 'inherit'] });
  await readReady(child.stdout);
  const letGo = () => void child.kill('SIGKILL');
  s.defer(letGo);
  return letGo;
}

/** Wall and processor milliseconds of a promise's settling, in this whole process. */
async function cost<T>(promise: Promise<T>): Promise<{ value: T; wallMs: number; cpuMs: number }> {
  const begin = performance.now();
  const before = process.cpuUsage();
  const value = await promise;
  const used = process.cpuUsage(before);
  return { value, wallMs: performance.now() - begin, cpuMs: (used.user + used.system) / 1000 };
}

describe.each(containments)('containment %s', (containment) => {
  const options = { ...ladder, containment };

  for (const who of ['leader', 'member'] as const) {
    it(`G10: the ${who} cannot end (a tracer holds it at its exit): bounded, named, no busy loop`, async () => {
      const { group, ready } = await startMember(scenario, ['wide', '2'], options);
      const pid = who === 'leader' ? ready.pid : (ready.members[0] ?? 0);
      const letGo = await attachTracer(scenario, 'exit-stop', pid);
      const { value: report, wallMs, cpuMs } = await cost(group.stop());
      expect(report.empty).toBe(false);
      expect(report.survivors).toHaveLength(1);
      expect(report.survivors[0]).toMatchObject({ pid, pgid: group.pgid, state: 't', comm: 'member', error: null });
      expect(report.survivors[0]?.wchan).toEqual(expect.any(String));
      expect(wallMs).toBeGreaterThan(killWaitMs - 5);
      expect(wallMs).toBeLessThan(killWaitMs + 5_000);
      expect(cpuMs).toBeLessThan(wallMs / 2);
      expect(group.state).toBe('survivors');
      expect(await group.stop()).toBe(report);
      // The oracle agrees, and the leader's end is told when it comes.
      expect(scenario.alive().map((one) => one.pid)).toContain(pid);
      letGo();
      await waitUntil(() => isDead(pid));
      const told = { signal: who === 'leader' ? 'SIGKILL' : 'SIGTERM', status: 'exact' };
      const lost = { signal: null, status: 'unknown' };
      const late = who === 'leader' && containment === 'tree'; // its parent, the guardian, has ended with its report
      expect(await group.exited).toMatchObject(late && !tellsOfOthers ? lost : told);
    });
  }

  it('G10: the leader is dead and its tracer does not wait: told at once, no busy loop', async () => {
    const { group, ready } = await startMember(scenario, ['wide', '2'], options);
    const letGo = await attachTracer(scenario, 'no-wait', ready.pid);
    const { value: report, wallMs, cpuMs } = await cost(group.kill());
    expect(wallMs).toBeLessThan(killWaitMs + 5_000);
    expect(cpuMs).toBeLessThan(Math.max(100, wallMs / 2));
    expect(stat(ready.pid)?.state).toBe('Z');
    const exit = await cost(group.exited);
    expect(exit.value).toMatchObject({ status: 'held-by-tracer', resourceUsage: null });
    expect(exit.wallMs).toBeLessThan(5_000);
    if (!report.empty) {
      expect(report.survivors).toEqual([expect.objectContaining({ pid: ready.pid, state: 'Z', heldByTracer: true })]);
    }
    letGo();
    await waitUntil(() => stat(ready.pid) === null, { what: 'the leader is reaped once its tracer is gone' });
  });

  it('G10: a member is dead and its tracer does not wait: it does not keep the group from being empty', async () => {
    const { group, ready } = await startMember(scenario, ['wide', '2'], options);
    const pid = ready.members[0] ?? 0;
    const letGo = await attachTracer(scenario, 'no-wait', pid);
    const { value: report, wallMs, cpuMs } = await cost(group.stop());
    expect(wallMs).toBeLessThan(killWaitMs + 5_000);
    expect(cpuMs).toBeLessThan(Math.max(100, wallMs / 2));
    expect(stat(pid)?.state).toBe('Z');
    if (!report.empty) {
      expect(report.survivors).toEqual([expect.objectContaining({ pid, heldByTracer: true })]);
    }
    letGo();
  });
});
