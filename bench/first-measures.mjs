// First measurements, in one run and in turns (A B A B ...), medians of the turns. `--json` prints them as JSON.
//   node bench/first-measures.mjs [--json]
// It needs a C compiler for the floor programs, 3 GiB of free memory for the ballast and 6,000 descriptors for the
// idle groups; a measure that cannot be taken says why. It takes about a minute.
import { spawn as nodeSpawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { spawn } from '../dist/index.js';
import {
  available,
  buildFloor,
  descriptors,
  lines,
  median,
  residentBytes,
  round,
  runFloor,
  table,
} from './support.mjs';

const TURNS = 5;
const BALLAST = 2 ** 31;
const floor = buildFloor(['trivial', 'killpg']);

const engines = {
  procgroup: async () => {
    const group = await spawn(floor.trivial, [], { stdio: 'ignore', containment: 'group' });
    const { code } = await group.exited;
    if (code !== 0) throw new Error(`ended with ${code}`);
  },
  child_process: () =>
    new Promise((resolve, reject) => {
      nodeSpawn(floor.trivial, [], { stdio: 'ignore' })
        .on('error', reject)
        .on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`ended with ${code}`))));
    }),
};
const names = Object.keys(engines);

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Spawns `count` programs with `inFlight` at a time until each has ended; milliseconds. */
async function run(engine, count, inFlight, afterEach = undefined) {
  let left = count;
  const lane = async () => {
    while (left-- > 0) {
      await engine();
      if (afterEach) await afterEach();
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane));
  return performance.now() - begin;
}

/** measure(name) for each engine in turns; { name: [value of each turn] }. */
async function inTurns(turns, measure) {
  const values = Object.fromEntries(names.map((name) => [name, []]));
  for (let i = 0; i < turns; i++) {
    for (const name of names) values[name].push(await measure(name));
  }
  return values;
}

const medians = (values) => Object.fromEntries(names.map((name) => [name, round(median(values[name]))]));

async function rate(counts, inFlight, turns = TURNS) {
  return medians(
    await inTurns(turns, async (name) => {
      const count = counts[name];
      return (count / (await run(engines[name], count, inFlight))) * 1000;
    }),
  );
}

const tick = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Delay of the event loop while 1,000 programs are spawned, 64 in flight; milliseconds. The sampling timer itself accounts
 * for 1. Each lane yields a turn between two programs: a chain of exit callbacks that spawn again starves the loop by itself.
 */
async function loopDelay() {
  const turns = await inTurns(TURNS, async (name) => {
    const histogram = monitorEventLoopDelay({ resolution: 1 });
    histogram.enable();
    await tick(5); // its first sample is only a start
    histogram.reset();
    await run(engines[name], 1000, 64, turn);
    await tick(5);
    histogram.disable();
    const ms = (nanoseconds) => nanoseconds / 1e6;
    return { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) };
  });
  return Object.fromEntries(
    ['p50', 'p99', 'max'].map((key) => [
      key,
      Object.fromEntries(names.map((name) => [name, round(median(turns[name].map((one) => one[key])))])),
    ]),
  );
}

async function withBallast() {
  if (available() < BALLAST * 1.5) return { skipped: 'less than 3 GiB of memory available' };
  const ballast = Buffer.alloc(BALLAST, 1);
  const result = { residentMiB: round(residentBytes() / 2 ** 20) };
  Object.assign(result, await rate({ procgroup: 1000, child_process: 20 }, 64, 3));
  if (ballast[ballast.length - 1] !== 1) throw new Error('the ballast is gone');
  return result;
}

const idle = () => spawn(floor.killpg, ['--lead', '1'], { stdio: 'ignore', containment: 'group', teardown: [] });

/** Median time of `await spawn()` with one in flight, microseconds. */
async function settleTime(samples) {
  const times = [];
  for (let i = 0; i < samples; i++) {
    const begin = performance.now();
    const group = await spawn(floor.trivial, [], { stdio: 'ignore', containment: 'group' });
    times.push((performance.now() - begin) * 1000);
    await group.gone;
  }
  return median(times);
}

async function hold(groups, count) {
  while (groups.length < count) {
    const missing = Math.min(64, count - groups.length);
    groups.push(...(await Promise.all(Array.from({ length: missing }, idle))));
  }
}

async function drop(groups, count) {
  const reports = await Promise.all(groups.splice(count).map((group) => group.kill()));
  if (!reports.every((report) => report.empty)) throw new Error('a group has survivors');
}

/** What 5,000 idle groups (a descriptor each) add to a spawn. Turns are long, so there are two. */
async function withManyGroups() {
  if (descriptors() < 6000) return { skipped: `RLIMIT_NOFILE is ${descriptors()}` };
  const groups = [];
  const few = [];
  const many = [];
  const kills = [];
  for (let i = 0; i < 2; i++) {
    await hold(groups, 10);
    few.push(await settleTime(400));
    await hold(groups, 5000);
    many.push(await settleTime(400));
    const begin = performance.now();
    await drop(groups, 10);
    kills.push(performance.now() - begin);
  }
  await drop(groups, 0);
  return {
    with10: round(median(few)),
    with5000: round(median(many)),
    ratio: round(median(many) / median(few)),
    kill4990GroupsMs: round(median(kills)),
  };
}

/** A leader with 999 sleeping children: from kill() to the report that says empty. Against killpg and reaping in C. */
async function teardown() {
  const ours = [];
  const c = [];
  const evidence = new Set();
  for (let i = 0; i < TURNS; i++) {
    const group = await spawn(floor.killpg, ['--lead', '1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      containment: 'group',
    });
    await lines(group.stdout, 'ready');
    const begin = performance.now();
    const report = await group.kill();
    ours.push(performance.now() - begin);
    if (!report.empty) throw new Error(`survivors: ${JSON.stringify(report.survivors)}`);
    evidence.add(report.evidence);
    c.push(Number(runFloor(floor.killpg, ['1000', '1'])));
  }
  const [a, b] = [median(ours), median(c)];
  return { procgroup: round(a), c: round(b), ratio: round(a / b), evidence: [...evidence] };
}

async function measure() {
  // The first spawns pay for threads, caches and compiled code.
  for (const name of names) await run(engines[name], 300, 64);
  return {
    machine: { node: process.version, kernel: release(), cpus: cpus().length, model: cpus()[0]?.model ?? '' },
    mechanism: (await spawn(floor.trivial, [], { stdio: 'ignore', containment: 'group' })).mechanism,
    rate64: await rate({ procgroup: 3000, child_process: 1000 }, 64),
    rate1: await rate({ procgroup: 1000, child_process: 400 }, 1),
    loopDelay: await loopDelay(),
    ballast: await withBallast(),
    manyGroups: await withManyGroups(),
    teardown: await teardown(),
  };
}

function print(result) {
  const { machine, mechanism, rate64, rate1, loopDelay: delay, ballast, manyGroups, teardown: end } = result;
  const times = ({ procgroup, child_process }) => round(procgroup / child_process);
  const row = (what, unit, values) => [what, values.procgroup, values.child_process, times(values), unit];
  console.log(`${machine.node}, Linux ${machine.kernel}, ${machine.cpus} x ${machine.model}`);
  console.log(`${mechanism.spawn}, ${mechanism.exitNotice}, ${mechanism.groupSignal}\n`);
  table(
    ['measure', 'procgroup', 'child_process', 'ratio', 'unit'],
    [
      row('spawn to exit, 64 in flight', '1/s', rate64),
      row('spawn to exit, 1 in flight', '1/s', rate1),
      row('event loop delay p50, 1,000 spawns', 'ms', delay.p50),
      row('event loop delay p99', 'ms', delay.p99),
      row('event loop delay max', 'ms', delay.max),
      ballast.skipped
        ? ['with 2 GiB resident', ballast.skipped, '', '', '']
        : row(`spawn to exit, ${ballast.residentMiB} MiB resident`, '1/s', ballast),
    ],
  );
  console.log();
  table(
    ['measure', 'A', 'B', 'B / A', 'unit'],
    [
      manyGroups.skipped
        ? ['spawn(), 10 idle groups (A), 5,000 (B)', manyGroups.skipped, '', '', '']
        : ['spawn(), 10 idle groups (A), 5,000 (B)', manyGroups.with10, manyGroups.with5000, manyGroups.ratio, 'us'],
      [`1,000 members gone: C (A), kill() (B)`, end.c, end.procgroup, end.ratio, 'ms'],
    ],
  );
}

try {
  const result = await measure();
  if (process.argv.includes('--json')) console.log(JSON.stringify(result, null, 2));
  else print(result);
} finally {
  rmSync(floor.folder, { recursive: true, force: true });
}
