import { expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface Run {
  bad: string[];
  peak: { fds: number; threads: number };
  before: { fds: number; threads: number; zombies: number };
  after: { fds: number; threads: number; zombies: number };
  heap: number[];
}

function subject(total: number, inFlight: number, each: string): { source: string } {
  return {
    source: `
    const look = () => ({
      fds: oracle.openFds().length, threads: oracle.steadyThreads(), zombies: oracle.zombieChildrenOf().length,
    });
    const bad = [];
    let left = 0;
    const lane = async () => {
      while (left > 0) {
        left -= 1;
        try { await (${each})(left); } catch (error) { if (bad.length < 5) bad.push(String(error)); }
      }
    };
    const run = (total) => { left = total; return Promise.all(Array.from({ length: ${inFlight} }, lane)); };
    // Streams that have ended give their descriptors back a turn later.
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    await run(300);
    await turn();
    await turn();
    const before = look();
    const peak = { fds: 0, threads: before.threads };
    // A thread of the engine that has just been made does not bear its name yet.
    const steady = () => oracle.steadyThreads() <= before.threads;
    const timer = setInterval(async () => {
      peak.fds = Math.max(peak.fds, oracle.openFds().length);
      await oracle.waitUntil(steady, { timeoutMs: 1_000 }).catch(() => {
        peak.threads = Math.max(peak.threads, oracle.steadyThreads());
      });
    }, 100);
    const heap = [];
    for (let part = 0; part < 4; part++) {
      await run(${Math.ceil(total / 4)});
      globalThis.gc();
      heap.push(process.memoryUsage().heapUsed);
    }
    clearInterval(timer);
    // A guardian ends just after the news of its tree's end, and a scan for who holds a pipe may be under way on a thread of
    // the engine; what is leaked stays, however long one looks.
    await oracle.waitUntil(() => look().fds <= before.fds, { timeoutMs: 5_000 }).catch(() => {});
    console.log(JSON.stringify({ bad, peak, before, after: look(), heap }));`,
  };
}

const run = (total: number, inFlight: number, each: string) =>
  runNodeJson<Run>(subject(total, inFlight, each), {
    env: scenario.env,
    nodeArgs: ['--expose-gc'],
    timeoutMs: 55_000 + total * 5,
  });

function flat(result: Run, extraFds: number): void {
  expect(result.bad).toEqual([]);
  expect(result.after.fds).toBeLessThanOrEqual(result.before.fds);
  expect(result.after.zombies).toBe(0);
  // A clone that does not move for 100 ms counts as stuck, also where the machine is only busy: a spawner more, for good.
  expect(Math.max(result.peak.threads, result.after.threads)).toBeLessThanOrEqual(result.before.threads + 2);
  expect(result.peak.fds).toBeLessThanOrEqual(result.before.fds + extraFds);
  const [first = 0, , , last = 0] = result.heap;
  expect(last - first).toBeLessThan(4 << 20);
}

const kinds: [containment: string, total: number][] = [
  ['group', 10_000],
  ['tree', 2_000],
];

it.each(kinds)(
  '%s, %i spawns, 64 in flight: descriptors and threads are flat, no zombie',
  async (containment, total) => {
    const each = `async () => {
    const group = await spawn(member, ['exit', '3'], { containment: '${containment}', stdio: 'ignore' });
    const { code, status } = await group.exited;
    if (code !== 3 || status !== 'exact') throw new Error(code + ' ' + status);
    if (!(await group.gone).empty) throw new Error('not empty');
  }`;
    // An in-flight spawn has a pidfd, its stdio and its error channel.
    flat(await run(scaled(total), 64, each), 64 * 8);
  },
  120_000,
);

it('pipes, failures, aborts and teardowns in flight leave nothing either', async () => {
  const each = `async (i) => {
    if (i % 4 === 0) {
      const { stdout } = await output(member, ['print', '3', '0']);
      if (stdout !== 'xxx') throw new Error(stdout);
    } else if (i % 4 === 1) {
      const error = await spawn('/nowhere', [], { stdio: 'pipe' }).catch((error) => error);
      if (error.code !== 'ENOENT') throw error;
    } else if (i % 4 === 2) {
      const controller = new AbortController();
      const spawning = spawn(member, ['sleep'], { stdio: 'pipe', signal: controller.signal });
      setImmediate(() => controller.abort());
      const end = await spawning.then((group) => Promise.all([group.gone, group.closed]), (error) => error.code);
      if (end !== 'ABORT_ERR' && end[0].cause !== 'abort') throw new Error(JSON.stringify(end));
    } else {
      const group = await spawn(member, ['leader-exits-first'], { stdio: ['pipe', 'pipe', 'pipe'], drainMs: 10 });
      const report = await group.kill();
      await group.closed;
      if (!report.empty) throw new Error(JSON.stringify(report));
    }
  }`;
  flat(await run(scaled(2_000), 32, each), 32 * 16);
}, 120_000);

it('the spawner threads do not grow in number with each burst after an idle time', async () => {
  const source = `
    const count = () => oracle.threads().filter(({ comm }) => comm === 'procgroup-spawn').length;
    const burst = () => Promise.all(Array.from({ length: 20 }, async () => {
      await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
    }));
    await burst();
    const before = count();
    for (let i = 0; i < 12; i++) {
      // An idle time, longer than any after which the engine takes a clone for stuck.
      await new Promise((resolve) => setTimeout(resolve, 120));
      await burst();
    }
    console.log(JSON.stringify({ before, after: count() }));`;
  const { before, after } = await runNodeJson<{ before: number; after: number }>({ source }, { env: scenario.env });
  expect(before).toBeGreaterThan(0);
  // One more is due where no clone has ended for 100 ms, which a busy machine can do to some bursts.
  expect(after).toBeLessThan(before + 6);
});

it('spawns that share an AbortSignal have one listener, and Node warns of none', async () => {
  const answer = await runNodeJson(
    {
      source: `
      import { getEventListeners } from 'node:events';
      const controller = new AbortController();
      const listeners = () => getEventListeners(controller.signal, 'abort').length;
      const warnings = [];
      process.on('warning', ({ name }) => warnings.push(name));
      const options = { containment: 'group', stdio: 'ignore', signal: controller.signal };
      const spawning = Array.from({ length: 20 }, () => spawn(member, ['sleep'], options));
      const during = listeners();
      const groups = await Promise.all(spawning);
      const running = listeners();
      await groups.pop().kill();
      controller.abort();
      const causes = new Set((await Promise.all(groups.map((group) => group.gone))).map(({ cause }) => cause));
      console.log(JSON.stringify({ during, running, after: listeners(), causes: [...causes], warnings }));`,
    },
    { env: scenario.env },
  );
  expect(answer).toEqual({ during: 1, running: 1, after: 0, causes: ['abort'], warnings: [] });
});
