// H4: a helper ends with the process, or worker thread, that started it, however that ends; recycled workers leave nothing.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { alivePids, helperPrelude } from './support/helpers.js';
import { waitUntil } from './support/oracle.js';
import { dist, member, root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNode, runNodeJson, startNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
/** In a quiet run. */
const BOUND_MS = 1_000;
const TRIES = 3;

/** A worker process as pools recycle them: it uses its helper a few times, then ends in the way that it is told. */
const worker = (verb: string, end: string, more = '') => ({
  source: `${helperPrelude}
    const helper = sharedHelper('reader', define('${verb}', { ${more} }));
    const leases = await Promise.all(Array.from({ length: 20 }, () => helper.acquire()));
    const { pid, members } = leases[0].value;
    for (const lease of leases) lease.release();
    nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid, members }) + '\\n');
    ${end}`,
});
const dieOf = (signal: string) => `process.kill(process.pid, '${signal}'); setInterval(() => {}, 1e6);`;

async function endOf(subject: { source: string }): Promise<{ pids: number[]; at: number; how: unknown }> {
  const node = startNode(subject, { env: scenario.env });
  const ended = once(node, 'exit');
  node.stderr?.resume();
  const { pid, members } = await readReady(node.stdout ?? expect.fail('no stdout'));
  const [code, signal] = await ended;
  return { pids: [pid, ...members], at: performance.now(), how: signal ?? code };
}

/** Each time it is gone; within a second in one of a few tries, since a busy machine needs longer. */
async function expectGoneInTime(subject: { source: string }): Promise<void> {
  const took: number[] = [];
  while (took.length < TRIES && !took.some((ms) => ms < BOUND_MS)) {
    const { at } = await endOf(subject);
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 10_000 });
    took.push(performance.now() - at);
  }
  expect(Math.min(...took), 'from the end of the owner').toBeLessThan(BOUND_MS);
}

describe('H4: the owner ends', () => {
  it.each([
    ['SIGKILL', dieOf('SIGKILL'), 'ignore-term'],
    ['SIGKILL, of an owner with helpers that have helpers', dieOf('SIGKILL'), 'grandchild-ignores-term'],
    ['SIGTERM', dieOf('SIGTERM'), 'ignore-term'],
    ['process.exit()', 'process.exit(7);', 'ignore-term'],
    ['a throw', "throw new Error('on purpose');", 'ignore-term'],
    ['returning', '', 'ignore-term'],
  ])('H4: %s: gone within a second', async (_, end, verb) => {
    await expectGoneInTime(worker(verb, end));
  });

  it('H4: SIGKILL while it is held and others wait: gone within a second', async () => {
    const hold = `const other = sharedHelper('slow', define('ignore-term', { ready: () => new Promise(() => {}) }));
      other.acquire().catch(() => {});
      const lease = await helper.acquire();
      await oracle.waitUntil(() => helpers().every(({ pid }) => pid !== null) && helpers().length === 2);
      ${dieOf('SIGKILL')}`;
    await expectGoneInTime(worker('ignore-term', hold));
  });

  it('H4: control: containment group leaves what the helper has started', async () => {
    scenario.leaves();
    const more = "spawn: { containment: 'group' }";
    const { pids } = await endOf(worker('grandchild-ignores-term', dieOf('SIGKILL'), more));
    await waitUntil(() => !alivePids(scenario).includes(pids[0] ?? 0), { what: 'the parent-death signal' });
    expect(alivePids(scenario)).toEqual(pids.slice(1));
  });
});

describe('H4: recycled workers', () => {
  const ends = ['process.exit(0);', '', dieOf('SIGKILL'), "throw new Error('on purpose');", dieOf('SIGTERM')];
  const rounds = scaled(50);

  it(
    `H4: ${rounds} worker processes, one after the other: one helper at a time, none left`,
    async () => {
      const counts: number[] = [];
      const pids = new Set<number>();
      for (let round = 0; round < rounds; round++) {
        const node = startNode(worker('sleep', ends[round % ends.length] ?? ''), { env: scenario.env });
        const ended = once(node, 'exit');
        node.stderr?.resume();
        const { pid } = await readReady(node.stdout ?? expect.fail('no stdout'));
        pids.add(pid);
        await ended;
        await waitUntil(() => scenario.alive().length === 0, { timeoutMs: BOUND_MS * 5 });
        counts.push(scenario.alive().length);
      }
      expect(pids.size, 'control: each had one of its own').toBe(rounds);
      expect(new Set(counts)).toEqual(new Set([0]));
    },
    30_000 + rounds * 2_000,
  );

  it('H4: control: a helper that child_process starts lazily stays, one more with each worker', async () => {
    scenario.leaves();
    const source = `
      const child = nodeProcess.spawn(member, ['sleep'], { stdio: ['ignore', 'pipe', 'ignore'] });
      console.log('ready ' + JSON.stringify(await readReady(child.stdout)));
      process.exit(0);`;
    for (let round = 1; round <= 3; round++) {
      await endOf({ source });
      expect(alivePids(scenario)).toHaveLength(round);
    }
  });

  it(`H4: ${rounds} worker threads in one process: flat, also where they are terminated`, async () => {
    const thread = `
      import { parentPort, workerData } from 'node:worker_threads';
      import { sharedHelper } from ${JSON.stringify(`file://${dist}helper.js`)};
      import { readReady } from ${JSON.stringify(`file://${root}test/support/ready.mjs`)};
      const ready = (group) => readReady(group.stdout);
      const helper = sharedHelper('reader', { file: ${JSON.stringify(member)}, args: ['sleep'], ready });
      const pids = await Promise.all(Array.from({ length: 20 }, () => helper.use(({ pid }) => pid)));
      parentPort.postMessage([...new Set(pids)]);
      if (workerData % 3 === 0) process.exit(0);
      if (workerData % 3 === 1) setInterval(() => {}, 1e6);`;
    const source = `
      const { Worker } = await import('node:worker_threads');
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(thread)}));
      const alive = () => oracle.alive(process.env[environment.MARK]).filter(({ cmdline }) => cmdline.startsWith(member));
      const most = [];
      for (let round = 0; round < ${rounds}; round++) {
        const worker = new Worker(url, { workerData: round, env: { ...process.env } });
        const exit = new Promise((resolve) => worker.once('exit', resolve));
        const pids = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
        most.push(alive().length);
        if (pids.length !== 1) throw new Error('more than one: ' + pids);
        if (round % 3 === 1) void worker.terminate();
        await exit;
        await oracle.waitUntil(() => alive().length === 0);
      }
      console.log(JSON.stringify({ most: Math.max(...most), left: alive().length }));`;
    const said = await runNodeJson({ source }, { env: scenario.env });
    expect(said).toEqual({ most: 1, left: 0 });
  });
});

describe('S3: what keeps the event loop alive', () => {
  it('S3: an idle helper does not', async () => {
    const run = await runNode(worker('sleep', "console.log('end of main');"), { env: scenario.env });
    expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 0, stderr: '' });
    expect(run.stdout).toContain('end of main');
    expect(scenario.alive()).toEqual([]);
  });

  it('S3: control: one that is held does, as a child does in Node', async () => {
    const hold = worker('sleep', 'await helper.acquire();');
    await expect(runNode(hold, { env: scenario.env, timeoutMs: 2_500 })).rejects.toThrow(/hung/);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('S3: a use that is under way does, through start, back-off and work', async () => {
    const source = `${helperPrelude}
      let tries = 0;
      const ready = (group) => {
        if (++tries < 3) throw new Error('not yet');
        return readReady(group.stdout);
      };
      const helper = sharedHelper('reader', define('sleep', { ready, backoffMs: 50 }));
      const attempt = () => helper.use(({ pid }) => pid).catch(attempt);
      attempt().then((pid) => console.log(JSON.stringify({ tries, dead: oracle.isDead(pid) })));`;
    expect(await runNodeJson({ source }, { env: scenario.env })).toEqual({ tries: 3, dead: false });
  });

  it('S3: a hundred uses under way warn of no leak, and leave no listener', async () => {
    const source = `${helperPrelude}
      const { getEventListeners } = await import('node:events');
      const helper = sharedHelper('reader', define('sleep'));
      const controller = new AbortController();
      const { signal } = await helper.acquire();
      const count = (one) => getEventListeners(one, 'abort').length;
      const before = count(signal);
      const uses = Array.from({ length: 100 }, () => helper.use(() => new Promise(setImmediate), { signal: controller.signal }));
      const during = count(controller.signal);
      await Promise.all(uses);
      console.log(JSON.stringify({ during, after: count(controller.signal), ending: count(signal) - before }));
      process.exit(0);`;
    const run = await runNode({ source }, { env: scenario.env });
    expect({ stdout: run.stdout, stderr: run.stderr }).toEqual({
      stdout: `${JSON.stringify({ during: 100, after: 0, ending: 0 })}\n`,
      stderr: '',
    });
  });

  it('S3: a pending close() does', async () => {
    const source = `${helperPrelude}
      const helper = sharedHelper('reader', define('ignore-term', { spawn: { teardown: [{ signal: 'SIGTERM', graceMs: 300 }] } }));
      const pid = await helper.use(({ pid }) => pid);
      helper.close().then(() => console.log(JSON.stringify({ dead: oracle.isDead(pid) })));`;
    expect(await runNodeJson({ source }, { env: scenario.env })).toEqual({ dead: true });
  });
});
