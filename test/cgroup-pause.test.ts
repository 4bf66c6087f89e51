// pause(), resume() and usage() of a containment `cgroup`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, spawn } from '../dist/index.js';
import { announce, boxed, processesIn, usePlace, whyNoCgroup, whyNoController } from './support/boxes.js';
import { isDead, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';
import { startTree } from './support/trees.js';

const reason = announce('cgroup-pause', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const teardown = [{ signal: 'SIGTERM', graceMs: 150 }] as const;
const leafOf = (group: ProcessGroup): string => group.mechanism.cgroupPath ?? expect.fail('no leaf');

describe.skipIf(reason !== '')('pause and resume', () => {
  const ticks = (pid: number): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };

  it('stop every member, a busy one too, and let it run on', async () => {
    const options = { ...boxed('cgroup', place), env: scenario.env, teardown, stdio: 'ignore' } as const;
    const group = await spawn('/bin/sh', ['-c', 'setsid sleep 300 & while :; do :; done'], options);
    await waitUntil(() => processesIn(leafOf(group)).some((pid) => ticks(pid) > 2), { what: 'one is busy' });
    await group.pause();
    expect(readFileSync(join(leafOf(group), 'cgroup.events'), 'utf8')).toContain('frozen 1');
    const used = () => processesIn(leafOf(group)).map(ticks).join();
    const frozen = used();
    for (let look = 0; look < 50; look++) expect(used()).toBe(frozen);
    await group.pause();
    await group.resume();
    expect(readFileSync(join(leafOf(group), 'cgroup.events'), 'utf8')).toContain('frozen 0');
    await waitUntil(() => used() !== frozen, { what: 'it runs on' });
    await group.resume();
    const { userCPUTime, systemCPUTime, memoryBytes } = await group.usage();
    expect((userCPUTime ?? 0) + (systemCPUTime ?? 0)).toBeGreaterThan(10_000);
    if (whyNoController('memory') !== '') expect(memoryBytes).toBeNull();
    const report = await group.stop();
    expect(report.usage?.userCPUTime).toBeGreaterThanOrEqual(userCPUTime ?? 0);
    expect(await group.usage()).toEqual(report.usage);
  });

  it('a paused group is torn down all the same: its members get their grace', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { ...boxed('cgroup', place), teardown });
    await group.pause();
    const report = await group.stop();
    expect(report).toMatchObject({ empty: true, evidence: 'populated' });
    expect(report.steps.map(({ signal }) => signal)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(await group.exited, 'it died of SIGTERM, not of SIGKILL').toMatchObject({ signal: 'SIGTERM' });
  });

  it('who asks after the beginning of the teardown, or elsewhere, is told', async () => {
    const { group } = await startTree(scenario, 'member', ['ignore-term'], { ...boxed('cgroup', place), teardown });
    const stopping = group.stop();
    await waitUntil(() => group.state === 'draining');
    await expect(group.pause()).rejects.toMatchObject({ code: 'ERR_GROUP_ENDING' });
    await stopping;
    await expect(group.resume()).rejects.toMatchObject({ code: 'ERR_GROUP_ENDING' });
    const plain = await spawn(member, ['exit', '0'], { stdio: 'ignore' });
    for (const ask of ['pause', 'resume', 'usage'] as const) {
      await expect(plain[ask]()).rejects.toMatchObject({ code: 'ERR_NEEDS_CGROUP' });
    }
    await plain.gone;
  });

  it('many callers at once, and a guardian that is killed meanwhile', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], { ...boxed('cgroup', place), teardown });
    const asked = [group.pause(), group.pause(), group.resume(), group.pause(), group.resume()];
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(Array(5).fill('fulfilled'));
    process.kill(group.mechanism.guardianPid ?? expect.fail('no guardian'), 'SIGKILL');
    await Promise.allSettled([group.pause(), group.resume()]);
    expect(await group.gone).toMatchObject({ empty: true });
    expect(isDead(group.pid)).toBe(true);
  });
});
