// A child that has been started but cannot be watched (epoll_ctl refuses) is killed, and the spawn fails. Its death is not
// waited for under the engine's lock: one that dies slowly, held by a tracer, delays nobody else.
import { expect, it } from 'vitest';
import { inLanes, resultOf } from './support/lanes.js';
import { deny, tracer } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const SLOW_MS = allowance(1_500);

/** The descriptors of the engine that a second group of the same kind gets: numbers are given out from the lowest. */
async function descriptors(containment: string): Promise<Record<string, number[]>> {
  const source = `
    const start = () => spawn(member, ['sleep'], { containment: ${JSON.stringify(containment)}, stdio: 'ignore' });
    await (await start()).kill();
    const before = oracle.openFds().map(({ fd }) => fd);
    const group = await start();
    const fresh = oracle.openFds().filter(({ fd }) => fd >= 1024 && !before.includes(fd));
    await group.kill();
    const of = (kind) => fresh.filter(({ target }) => target.includes(kind)).map(({ fd }) => fd);
    console.log(JSON.stringify({ pidfd: of('pidfd'), socket: of('socket') }));`;
  return runNodeJson({ source }, { env: scenario.env });
}

interface Seen {
  error: { name: string; code: string; stage: string };
  order: string[];
  otherMs: number;
  children: number;
  fds: number;
}

const cases = [
  ['group', 'pidfd', 'member'],
  ['tree', 'pidfd', 'procgroup-guard'],
  ['tree', 'socket', 'procgroup-guard'],
] as const;

/** Two spawns at once, of which the first cannot be watched and dies slowly. */
async function see([containment, kind, comm]: (typeof cases)[number]): Promise<{ number: number; seen: Seen }> {
  const source = `
    const start = () => spawn(member, ['sleep'], { containment: ${JSON.stringify(containment)}, stdio: 'ignore' });
    const order = [];
    const first = start().then(() => { throw new Error('spawned'); }, (error) => { order.push('first'); return error; });
    const dying = () => oracle.childrenOf().some((pid) => ['t', 'Z'].includes(oracle.stat(pid)?.state));
    await oracle.waitUntil(dying, { everyMs: 1 });
    const began = performance.now();
    const second = await start();
    const otherMs = performance.now() - began;
    order.push('second');
    const { name, code, stage } = await first;
    await second.kill();
    await oracle.waitUntil(() => oracle.childrenOf().length === 0, { timeoutMs: ${allowance(8_000)}, what: 'nobody is left' });
    const fds = oracle.openFds().filter(({ fd, target }) => fd >= 1024 && /pidfd|socket/.test(target)).length;
    console.log(JSON.stringify({ error: { name, code, stage }, order, otherMs, children: 0, fds }));`;
  const number = (await descriptors(containment))[kind]?.[0] ?? 0;
  const denied = [deny, `epoll_ctl/fd=${number}:ENOMEM`, '--'];
  const slow = [tracer, 'slow-exit', comm, String(SLOW_MS), ...denied];
  return { number, seen: await runNodeJson<Seen>({ source }, { env: scenario.env, via: slow }) };
}

it.skipIf(process.env.PROCGROUP_TEST_DISABLE?.includes('pidfd'))('it fails, and delays nobody', async () => {
  // All at once: each mostly waits for its tracer.
  const all = await inLanes(cases.length, cases, see);
  for (const [i, [containment, kind]] of cases.entries()) {
    const what = `containment ${containment}, its ${kind}`;
    const { number, seen } = resultOf(all[i]);
    expect(number, what).toBeGreaterThan(1024);
    expect(seen.error, what).toEqual({ name: 'SpawnError', code: 'ENOMEM', stage: 'register' });
    expect(seen.order, what).toEqual(['second', 'first']);
    expect(seen.otherMs, what).toBeLessThan(SLOW_MS / 2);
    expect(seen, what).toMatchObject({ children: 0, fds: 0 });
  }
  expect(scenario.alive()).toEqual([]);
});
