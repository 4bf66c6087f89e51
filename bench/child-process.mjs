// What a synchronous spawn costs the event loop: the drop-in against node:child_process, in one run and in turns, medians.
//   node bench/child-process.mjs [--json]
// It needs a C compiler for the floor program and 3 GiB of free memory for the ballast. It takes about a minute. The bars:
// at most 1/3 of Node's own (1/2 with three pipes), and 50 times less with 2 GiB resident; the last lines say whether they hold.
import nodeModule from 'node:child_process';
import { rmSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';
import ourModule from '../dist/child-process.js';
import { available, buildFloor, median, residentBytes, round, table } from './support.mjs';

const TURNS = 7;
const BALLAST = 2 ** 31;
const modules = { ours: ourModule, node: nodeModule };
const floor = buildFloor(['trivial']);

const kinds = {
  'stdio ignored': { stdio: 'ignore' },
  'stdio inherited': { stdio: 'inherit' },
  'three pipes': { stdio: 'pipe' },
  'three pipes and a channel': { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] },
};

/** Microseconds within spawn(), median of `count`; each child has ended before the next one. */
async function cost(module, options, count) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    const child = module.spawn(floor.trivial, [], options);
    times.push((performance.now() - begin) * 1000);
    await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject));
  }
  return median(times);
}

async function compare(options, counts, turns = TURNS) {
  const values = { ours: [], node: [] };
  for (let i = 0; i < turns; i++) {
    for (const name of Object.keys(modules)) values[name].push(await cost(modules[name], options, counts[name]));
  }
  const [ours, node] = [median(values.ours), median(values.node)];
  return { ours: round(ours), node: round(node), ratio: round(node / ours) };
}

/** 1,000 children, 32 at a time: children a second, and the milliseconds of the loop that each one takes. */
async function throughput(module) {
  let left = 1000;
  const lane = async () => {
    while (left-- > 0) {
      await new Promise((resolve) => module.spawn(floor.trivial, [], { stdio: 'pipe' }).on('close', resolve));
    }
  };
  const begin = performance.now();
  const before = performance.eventLoopUtilization();
  await Promise.all(Array.from({ length: 32 }, lane));
  const { active } = performance.eventLoopUtilization(before);
  return { rate: 1000 / ((performance.now() - begin) / 1000), busyMs: active / 1000 };
}

async function measure() {
  for (const module of Object.values(modules)) await cost(module, { stdio: 'pipe' }, 100); // the first pay for the others
  const result = {
    machine: { node: process.version, kernel: release(), cpus: cpus().length, model: cpus()[0]?.model ?? '' },
  };
  result.spawn = {};
  for (const [name, options] of Object.entries(kinds)) {
    result.spawn[name] = await compare(options, { ours: 100, node: 60 });
  }
  const many = { ours: [], node: [] };
  for (let i = 0; i < 3; i++) for (const name of Object.keys(modules)) many[name].push(await throughput(modules[name]));
  const middle = (name, key) => round(median(many[name].map((one) => one[key])));
  result.many = Object.fromEntries(
    ['rate', 'busyMs'].map((key) => [key, { ours: middle('ours', key), node: middle('node', key) }]),
  );
  result.ballast = await withBallast();
  return result;
}

async function withBallast() {
  if (available() < BALLAST * 1.5) return { skipped: 'less than 3 GiB of memory available' };
  const ballast = Buffer.alloc(BALLAST, 1);
  const result = { residentMiB: round(residentBytes() / 2 ** 20) };
  Object.assign(result, await compare(kinds['stdio ignored'], { ours: 50, node: 5 }, 3));
  if (ballast[ballast.length - 1] !== 1) throw new Error('the ballast is gone');
  return result;
}

function print({ machine, spawn, many, ballast }) {
  console.log(`${machine.node}, Linux ${machine.kernel}, ${machine.cpus} x ${machine.model}\n`);
  const rows = Object.entries(spawn).map(([name, { ours, node, ratio }]) => [
    `spawn(), ${name}`,
    ours,
    node,
    ratio,
    'us',
  ]);
  rows.push(
    ballast.skipped
      ? ['spawn(), 2 GiB resident', ballast.skipped, '', '', '']
      : [`spawn(), ${ballast.residentMiB} MiB resident`, ballast.ours, ballast.node, ballast.ratio, 'us'],
    ['1,000 children, 32 at a time', many.rate.ours, many.rate.node, round(many.rate.ours / many.rate.node), '1/s'],
    ['the loop busy with each', many.busyMs.ours, many.busyMs.node, round(many.busyMs.node / many.busyMs.ours), 'ms'],
  );
  table(['measure', 'drop-in', 'child_process', 'times', 'unit'], rows);
  console.log();
  const bars = [
    ['3 times less with stdio ignored', spawn['stdio ignored'].ratio >= 3],
    ['2 times less with three pipes', spawn['three pipes'].ratio >= 2],
    ['50 times less with 2 GiB resident', ballast.skipped ? null : ballast.ratio >= 50],
  ];
  for (const [what, holds] of bars)
    console.log(`${holds === null ? 'not measured' : holds ? 'holds' : 'MISSED'}: ${what}`);
}

try {
  const result = await measure();
  if (process.argv.includes('--json')) console.log(JSON.stringify(result, null, 2));
  else print(result);
} finally {
  rmSync(floor.folder, { recursive: true, force: true });
}
