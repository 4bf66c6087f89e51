import { spawn as spawnPlain } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { alive, isDead, openFds, stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();

function subject(lifetime: string, release: string, end: string): { source: string } {
  return {
    source: `
    const group = await spawn(member, ['-r', '3', 'wide', '2'], {
      containment: 'group',
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'], ${lifetime}
    });
    const { members } = await readReady(group.stdio[3]);
    ${release}
    process.stdout.write(JSON.stringify([group.pid, ...members]) + '\\n', () => { ${end} });`,
  };
}

for (const [how, end] of [
  ['process.exit()', 'process.exit(0)'],
  ['returning', ''],
  ['dispose', 'group[Symbol.asyncDispose]()'],
]) {
  it(`G15: a released group is left alone by ${how}`, async () => {
    scenario.leaves();
    const pids = await runNodeJson<number[]>(subject(`lifetime: 'releasable'`, 'group.release();', end ?? ''), {
      env: scenario.env,
      timeoutMs: 20_000,
    });
    expect(pids.filter((pid) => !isDead(pid))).toEqual(pids);
    expect(
      scenario
        .alive()
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual(pids.sort());
  });
}

it('G15: control: a releasable group that was not released goes down at exit', async () => {
  const pids = await runNodeJson<number[]>(subject(`lifetime: 'releasable'`, '', 'process.exit(0)'), {
    env: scenario.env,
  });
  expect(pids.filter((pid) => !isDead(pid))).toEqual([]);
});

it('G15: a released group survives the SIGKILL of its supervisor; a bound leader does not', async () => {
  scenario.leaves();
  const end = `process.kill(process.pid, 'SIGKILL')`;
  const dying = async (lifetime: string, release: string) =>
    runNodeJson<number[]>(subject(lifetime, release, end), { env: scenario.env }).catch((error: Error) => {
      expect(error.message).toContain('SIGKILL');
      return JSON.parse(/stdout: (\[.*\])/.exec(error.message)?.[1] ?? '[]') as number[];
    });
  const [released = 0] = await dying(`lifetime: 'releasable'`, 'group.release();');
  const [bound = 0] = await dying('', '');
  await waitUntil(() => isDead(bound));
  expect(isDead(released)).toBe(false);
});

it('G15: a released handle holds nothing, signals nothing, and its leader is still reaped', async () => {
  await startMember(scenario, ['sleep'], { containment: 'group' }).then(({ group }) => group.kill());
  const before = openFds().length;
  const { group, pids } = await startMember(scenario, ['wide', '2'], { containment: 'group', lifetime: 'releasable' });
  expect(group.mechanism.parentDeathSignal).toBe('none');
  group.release();
  group.release();
  await group[Symbol.asyncDispose]();
  // The leader's pidfd stays, so that somebody reaps it.
  await waitUntil(() => openFds().length <= before + 1, { what: 'the pipes of a released group are closed' });
  expect(pids.filter((pid) => isDead(pid))).toEqual([]);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await waitUntil(() => stat(group.pid) === null, { what: 'the leader is reaped' });
  expect(zombieChildrenOf()).toEqual([]);
  await waitUntil(() => openFds().length <= before, { what: 'and the pidfd with it' });
});

it('G15: an abort of the signal of its spawn leaves a released group alone, and ends the other', async () => {
  const controller = new AbortController();
  const options = { containment: 'group', lifetime: 'releasable', signal: controller.signal, teardown: [] } as const;
  const released = await startMember(scenario, ['wide', '2'], options);
  const other = await startMember(scenario, ['wide', '2'], options);
  released.group.release();
  controller.abort();
  expect(await other.group.gone).toMatchObject({ empty: true, cause: 'abort' });
  expect(released.pids.filter((pid) => isDead(pid))).toEqual([]);
  expect(released.group.state).toBe('running');
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  expect(await released.group.stop()).toMatchObject({ empty: true, cause: 'stop' });
});

it('G15: release() of a group that was not declared releasable is a typed error', async () => {
  const { group } = await startMember(scenario, ['sleep'], { containment: 'group' });
  expect(() => group.release()).toThrow(expect.objectContaining({ code: 'ERR_NOT_RELEASABLE' }));
  expect(await group.kill()).toMatchObject({ empty: true });
});

it('G15: control: the oracle sees a detached child_process that is left running', () => {
  scenario.leaves();
  const child = spawnPlain(member, ['sleep'], { env: scenario.env, detached: true, stdio: 'ignore' });
  child.unref();
  expect(alive(scenario.id).map(({ pid }) => pid)).toEqual([child.pid]);
});
