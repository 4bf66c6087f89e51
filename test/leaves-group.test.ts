// Containment `group`: a member that is being waited for leaves the group by setsid or setpgid and lives on. It is a member no
// more, and does not hold the group's end. No event tells of it: the engine looks, within a second.
import { describe, expect, it } from 'vitest';
import { attach } from '../dist/index.js';
import { stat, waitUntil } from './support/oracle.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const ways = [
  ['setsid', 'SIGUSR1'],
  ['setpgid', 'SIGUSR2'],
] as const;
/** Of a watched member the engine would otherwise hear only when it dies: here never. */
const LIMIT_MS = 3_000;

async function start(others: number, options = {}) {
  const { group, ready } = await startMember(scenario, ['leaves-later', String(others)], {
    containment: 'group',
    ...options,
  });
  await group.exited;
  // The answer comes from the census that also makes the engine wait for each of them.
  const seen = (await group.members()).map(({ pid }) => pid);
  expect(seen.sort()).toEqual([...ready.members].sort());
  const [leaver = 0, ...rest] = ready.members;
  const leave = async (signal: NodeJS.Signals) => {
    scenario.leaves();
    process.kill(leaver, signal);
    await waitUntil(() => stat(leaver)?.pgid === leaver, { what: 'it has left' });
  };
  return { group, leaver, others: rest, leave };
}

async function within<T>(promise: Promise<T>): Promise<T> {
  const began = performance.now();
  const value = await promise;
  expect(performance.now() - began).toBeLessThan(LIMIT_MS);
  return value;
}

it('attach(): of a group whose leader is gone', async () => {
  const { ready, group: started } = await startMember(scenario, ['leaves-later', '1'], { containment: 'leader' });
  await started.gone;
  const [leaver = 0, other = 0] = ready.members;
  const group = await attach(started.pgid);
  expect(await group.members()).toHaveLength(2);
  scenario.leaves();
  process.kill(leaver, 'SIGUSR1');
  await waitUntil(() => stat(leaver)?.pgid === leaver, { what: 'it has left' });
  process.kill(other, 'SIGKILL');
  expect(await within(group.gone)).toMatchObject({ empty: true, survivors: [] });
  expect(scenario.alive().map(({ pid }) => pid)).toEqual([leaver]);
});

describe.each(ways)('by %s', (_, signal) => {
  it('the last member leaves: gone', async () => {
    const { group, leaver, leave } = await start(0);
    await leave(signal);
    expect(await within(group.gone)).toMatchObject({ empty: true, cause: null, covers: 'group', survivors: [] });
    expect(scenario.alive().map(({ pid }) => pid)).toEqual([leaver]);
  });

  it('the others end after it has left: gone', async () => {
    const { group, leaver, others, leave } = await start(3);
    await leave(signal);
    for (const pid of others) process.kill(pid, 'SIGKILL');
    expect(await within(group.gone)).toMatchObject({ empty: true, cause: null, survivors: [] });
    expect(scenario.alive().map(({ pid }) => pid)).toEqual([leaver]);
  });

  it('control: a member that stays holds the end', async () => {
    const { group, others, leave } = await start(1);
    await leave(signal);
    let gone = false;
    void group.gone.then(() => {
      gone = true;
    });
    // A census, and with it a look at who has left.
    for (let i = 0; i < 3; i++) expect((await group.members()).map(({ pid }) => pid)).toEqual(others);
    expect(gone).toBe(false);
    expect(await group.stop()).toMatchObject({ empty: true });
  });

  it('stop() does not wait for it until the grace ends, nor until killWaitMs', async () => {
    for (const teardown of [[{ signal: 'SIGTERM', graceMs: 30_000 }], []] as const) {
      const { group, leaver, leave } = await start(2, { teardown, killWaitMs: 30_000 });
      await leave(signal);
      expect(await within(group.stop())).toMatchObject({ empty: true, cause: 'stop', survivors: [] });
      process.kill(leaver, 'SIGKILL');
    }
  });

  it('it leaves while the teardown runs: its end is not waited for', async () => {
    const { group, leave } = await start(0, { teardown: [{ signal: 'SIGURG', graceMs: 30_000 }] });
    const stopping = group.stop();
    await waitUntil(() => group.state === 'draining');
    await leave(signal);
    expect(await within(stopping)).toMatchObject({ empty: true, cause: 'stop', survivors: [] });
  });
});

it('isolation session: a new session is left, another group of the same one is not', async () => {
  const stays = await start(0, { isolation: 'session', teardown: [{ signal: 'SIGTERM', graceMs: 5_000 }] });
  await stays.leave('SIGUSR2');
  expect((await stays.group.members()).map(({ pid }) => pid)).toEqual([stays.leaver]);
  expect(await stays.group.stop()).toMatchObject({ empty: true });
  expect(scenario.alive()).toEqual([]);
  const leaves = await start(0, { isolation: 'session' });
  await leaves.leave('SIGUSR1');
  expect(await leaves.group.gone).toMatchObject({ empty: true, cause: null });
  expect(scenario.alive().map(({ pid }) => pid)).toEqual([leaves.leaver]);
});
