// npm run bench                  everything but foreign peers
// npm run bench -- NAME...       only those measures; `--list` names them
//   --peers      foreign peers too, fetched from npm
//   --rounds N   counted rounds of each contender (default 7)
//   --json FILE  the results; charts are drawn from it: npm run bench:chart -- FILE
import { rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { spawn } from '../dist/index.js';
import { Context } from './context.mjs';
import { measures } from './measures/index.mjs';
import { fetchPeers } from './peers.mjs';
import { buildFloor } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    json: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a positive integer');
const unknown = positionals.filter((name) => !measures.some((measure) => measure.name === name));
if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')} (--list names them)`);

if (values.list) {
  for (const { name, about } of measures) console.log(`${name.padEnd(18)}${about}`);
} else {
  await main();
}

function machine() {
  const [cpu] = cpus();
  return {
    node: process.version,
    arch: process.arch,
    kernel: release(),
    cpus: cpus().length,
    model: cpu?.model ?? '',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadBefore: loadavg()[0],
  };
}

/** Those beyond tree that this machine grants. */
async function granted(program) {
  const names = [];
  for (const containment of ['cgroup', 'namespace']) {
    try {
      await (await spawn(program, [], { stdio: 'ignore', containment })).gone;
      names.push(containment);
    } catch {}
  }
  return names;
}

async function main() {
  const floor = buildFloor(['trivial', 'killpg', 'spawn', 'child']);
  const terminal = process.stderr.isTTY;
  const progress = (text) => terminal && process.stderr.write(`\r\x1b[K${text}`);
  const fetched = values.peers ? fetchPeers(progress) : { folder: null, peers: {}, missing: {} };
  const context = new Context({
    floor,
    rounds,
    peers: fetched.peers,
    containments: await granted(floor.trivial),
    progress,
  });
  const begin = Date.now();
  const about = machine();
  console.log(
    `Node ${about.node.slice(1)}, Linux ${about.kernel}, ${about.cpus} x ${about.model}, ${about.memoryGiB} GiB, load ${about.loadBefore.toFixed(2)}`,
  );
  for (const [name, reason] of Object.entries(fetched.missing)) console.log(`without ${name}: ${reason}`);
  try {
    for (const measure of measures) {
      if (positionals.length > 0 && !positionals.includes(measure.name)) continue;
      console.log(`\n## ${measure.name}: ${measure.about}`);
      context.begin(measure.name);
      await measure.run(context);
      await context.end();
    }
  } finally {
    await context.end();
    rmSync(floor.folder, { recursive: true, force: true });
    if (fetched.folder) rmSync(fetched.folder, { recursive: true, force: true });
  }
  const seconds = Math.round((Date.now() - begin) / 1000);
  console.log(`\n${seconds} s`);
  if (context.results.some(({ rows }) => rows.some((row) => row.failed))) process.exitCode = 1;
  if (values.json) {
    const { results, skipped } = context;
    const result = { machine: about, seconds, rounds, missing: fetched.missing, skipped, results };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
}
