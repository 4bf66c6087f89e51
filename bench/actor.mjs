// One engine in a process of its own, told what to do by a line of JSON on stdin, answering by one on stdout. Runs
// under Node, Bun and Deno.  node actor.mjs ENGINE [OPTIONS as JSON]
import { once } from 'node:events';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { lanes } from './lanes.mjs';

const [name, options = '{}'] = process.argv.slice(2);
const engine = (await import(`./engines/${name}.mjs`)).make(JSON.parse(options));
let ballast = [];
const held = [];
const workers = [];

const turn = () => new Promise((resolve) => setImmediate(resolve));
const tick = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function delay(during) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await tick(5); // its first sample is only a start
  histogram.reset();
  await during();
  await tick(5);
  histogram.disable();
  return [histogram.percentile(50), histogram.percentile(99), histogram.max].map((ns) => ns / 1e6);
}

const operations = {
  rate: ({ program, args = [], count, inFlight }) => lanes(count, inFlight, () => engine.run(program, args)),
  collect: ({ program, args, count, inFlight, size }) =>
    lanes(count, inFlight, async () => {
      const said = await engine.collect(program, args);
      if (said.length !== size) throw new Error(`${said.length} bytes, not ${size}`);
    }),
  async drain({ program, args, size }) {
    const begin = performance.now();
    const bytes = await engine.drain(program, args);
    if (bytes !== size) throw new Error(`${bytes} bytes, not ${size}`);
    return performance.now() - begin;
  },
  async notice({ program, args, count }) {
    const values = [];
    for (let i = 0; i < count; i++) values.push((await engine.notice(program, args)) / 1000);
    return values;
  },
  /** In small pages, each of them written. */
  async ballast({ bytes }) {
    ballast = [];
    for (let at = 0; at < bytes; at += 2 ** 26) ballast.push(new Uint8Array(2 ** 26).fill(1));
    return ballast.length;
  },
  async hold({ program, args, count }) {
    while (held.length < count) {
      const missing = Math.min(64, count - held.length);
      held.push(...(await Promise.all(Array.from({ length: missing }, () => engine.hold(program, args)))));
    }
    await Promise.all(held.splice(count).map((one) => one.end()));
    return held.length;
  },
  /** Delay of the event loop at rest and in a burst. Each lane yields a turn between two programs. */
  async delay({ program, args = [], count, inFlight }) {
    const idle = await delay(() => tick(250));
    const burst = await delay(() =>
      lanes(count, inFlight, async () => {
        await engine.run(program, args);
        await turn();
      }),
    );
    return { idle, burst };
  },
  async teardown({ program, args }) {
    const group = await engine.group(program, args);
    const begin = performance.now();
    await group.end();
    return performance.now() - begin;
  },
  /** Each from spawn to the notice of its exit, microseconds, with nothing else under way. */
  async latency({ program, args = [], count }) {
    const values = [];
    for (let i = 0; i < count; i++) values.push((await engine.latency(program, args)) * 1000);
    return values;
  },
  /** As rate, from so many worker_threads at once; they are kept. */
  async threads({ program, count, inFlight, workers: wanted }) {
    while (workers.length < wanted) {
      const worker = new Worker(new URL('thread.mjs', import.meta.url), { workerData: { name, options } });
      await once(worker, 'message');
      workers.push(worker);
    }
    const begin = performance.now();
    await Promise.all(
      workers.slice(0, wanted).map(async (worker) => {
        worker.postMessage({ program, count: Math.ceil(count / wanted), inFlight });
        const [error] = await once(worker, 'message');
        if (error) throw new Error(error);
      }),
    );
    return performance.now() - begin;
  },
  /** KiB resident of this process. */
  async memory() {
    return process.memoryUsage().rss / 1024;
  },
  async pids() {
    return held.map(({ pid }) => pid);
  },
  async version() {
    const { bun, deno, node } = process.versions;
    return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...parameters } = JSON.parse(line);
  try {
    const result = await operations[op](parameters);
    process.stdout.write(`${JSON.stringify({ result })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error.stack ?? error) })}\n`);
  }
}
await operations.hold({ count: 0 });
process.exit(0);
