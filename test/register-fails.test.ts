// A child that has been started but cannot be watched (epoll_ctl refuses) is killed, and the spawn fails. Its death is not
// waited for under the engine's lock: one that dies slowly, held by a tracer, delays nobody else.
import { describe, expect, it } from 'vitest';
import { deny, tracer } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const SLOW_MS = 1_500;

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

describe.each(cases)('containment %s, its %s', (containment, kind, comm) => {
  const subject = `
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
    await oracle.waitUntil(() => oracle.childrenOf().length === 0, { timeoutMs: 8_000, what: 'nobody is left' });
    const fds = oracle.openFds().filter(({ fd, target }) => fd >= 1024 && /pidfd|socket/.test(target)).length;
    console.log(JSON.stringify({ error: { name, code, stage }, order, otherMs, children: 0, fds }));`;

  it.skipIf(process.env.PROCGROUP_TEST_DISABLE?.includes('pidfd'))('it fails, and delays nobody', async () => {
    const number = (await descriptors(containment))[kind]?.[0];
    expect(number).toBeGreaterThan(1024);
    const denied = [deny, `epoll_ctl/fd=${number}:ENOMEM`, '--'];
    const slow = [tracer, 'slow-exit', comm, String(SLOW_MS), ...denied];

    const seen = await runNodeJson<Seen>({ source: subject }, { env: scenario.env, via: slow });
    expect(seen.error).toEqual({ name: 'SpawnError', code: 'ENOMEM', stage: 'register' });
    expect(seen.order).toEqual(['second', 'first']);
    expect(seen.otherMs).toBeLessThan(SLOW_MS / 2);
    expect(seen).toMatchObject({ children: 0, fds: 0 });
    expect(scenario.alive()).toEqual([]);
  });
});
