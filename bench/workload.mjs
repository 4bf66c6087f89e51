// runWorkload() against child_process.fork() with a message and against worker_threads, in one run and in turns (A B C A B C
// ...), medians of the turns: one job in a fresh Node (or thread), from the call to its value, and to the end of its process.
//   node bench/workload.mjs [--json]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { runWorkload, WorkloadPool } from '../dist/workload.js';
import { median, round, table } from './support.mjs';

const TURNS = 15;
const MIB = 2 ** 20;
export const job = new URL('workload/echo.mjs', import.meta.url);

/** Each gives [value, end]: two promises. */
const contenders = {
  'runWorkload()': (payload) => {
    const value = runWorkload(job, payload, { settle: 'value' });
    return [value, value.ended];
  },
  "runWorkload(), containment 'group'": (payload) => {
    const value = runWorkload(job, payload, { settle: 'value', containment: 'group' });
    return [value, value.ended];
  },
  'WorkloadPool, ready': (payload, pool) => {
    const value = pool.run(job, payload, { settle: 'value' });
    return [value, value.ended];
  },
  'fork() and a message': (payload) => {
    const child = fork(fileURLToPath(job), [], { serialization: 'advanced', execArgv: [] });
    child.send({ payload });
    return [once(child, 'message').then(([message]) => message.payload), once(child, 'exit')];
  },
  'new Worker()': (payload) => {
    const worker = new Worker(job);
    worker.postMessage(payload);
    return [once(worker, 'message').then(([message]) => message), once(worker, 'exit')];
  },
};
export const names = Object.keys(contenders);

/** Milliseconds to the value, and to the end. The pool is filled before the clock starts. */
export async function one(name, payload, pool) {
  if (name.startsWith('WorkloadPool')) await pool.ready();
  const begin = performance.now();
  const [value, end] = contenders[name](payload, pool);
  const back = await value;
  const toValue = performance.now() - begin;
  if (back.length !== payload.length) throw new Error(`${name} gave back ${back.length} bytes`);
  await end;
  return { toValue, toEnd: performance.now() - begin };
}

/** Medians of `turns` turns by contender, for a payload of `bytes` there and back. */
export async function echo(bytes, turns = TURNS) {
  const payload = Buffer.alloc(bytes, 7);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  const pool = new WorkloadPool({ size: 1, preload: [job] });
  for (const name of names) await one(name, payload, pool);
  for (let turn = 0; turn < turns; turn++) for (const name of names) times[name].push(await one(name, payload, pool));
  await pool.close();
  return mapped(times, (all) => ({
    toValue: round(median(all.map((time) => time.toValue))),
    toEnd: round(median(all.map((time) => time.toEnd))),
  }));
}

/** Jobs a second, `inFlight` at a time, each to the end of its process; medians. */
export async function rate(count, inFlight, turns = 5) {
  const payload = Buffer.alloc(1_000);
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  const pool = new WorkloadPool({ size: inFlight, preload: [job] });
  await pool.ready();
  for (let turn = 0; turn < turns; turn++) {
    for (const name of names) {
      let left = count;
      const lane = async () => {
        while (left-- > 0) await Promise.all(contenders[name](payload, pool));
      };
      const begin = performance.now();
      await Promise.all(Array.from({ length: inFlight }, lane));
      rates[name].push((count / (performance.now() - begin)) * 1_000);
    }
  }
  await pool.close();
  return mapped(rates, (all) => round(median(all)));
}

const mapped = (object, action) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, action(value)]));

export async function measure() {
  return {
    machine: { node: process.version, kernel: release(), cpus: cpus().length, model: cpus()[0]?.model ?? '' },
    empty: await echo(0),
    mib16: await echo(16 * MIB, 5),
    mib64: await echo(64 * MIB, 3),
    rate4: await rate(24, 4),
  };
}

function print({ machine, empty, mib16, mib64, rate4 }) {
  console.log(`${machine.node}, Linux ${machine.kernel}, ${machine.cpus} x ${machine.model}\n`);
  const cells = (name) => [empty, mib16, mib64].flatMap((sizes) => [sizes[name].toValue, sizes[name].toEnd]);
  const heads = ['0 B', '16 MiB', '64 MiB'].flatMap((size) => [`${size} value`, 'end, ms']);
  table(
    ['one job', ...heads, '4 in flight, 1/s'],
    names.map((name) => [name, ...cells(name), rate4[name]]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const result = await measure();
  if (process.argv.includes('--json')) console.log(JSON.stringify(result, null, 2));
  else print(result);
}
