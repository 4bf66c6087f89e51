// What a containment costs: from spawn() to its settling, and to `gone`, of a program that ends at once. In turns, medians.
//   node bench/containments.mjs [--rounds N] [--json]

import { rmSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { spawn } from '../dist/index.js';
import { buildFloor, median, round } from './support.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '400' }, json: { type: 'boolean' } } });
const rounds = Number(values.rounds);
const floor = buildFloor(['trivial']);
const names = ['group', 'tree', 'cgroup', 'namespace'];
const spawned = Object.fromEntries(names.map((name) => [name, []]));
const ended = Object.fromEntries(names.map((name) => [name, []]));
const refused = new Map();

async function once(containment) {
  const begin = performance.now();
  const group = await spawn(floor.trivial, [], { stdio: 'ignore', containment });
  const settled = performance.now();
  await group.gone;
  return [settled - begin, performance.now() - begin];
}

for (const name of [...names]) {
  await once(name).catch((error) => {
    refused.set(name, error.message);
    names.splice(names.indexOf(name), 1);
  });
}
for (let turn = 0; turn < rounds; turn++) {
  for (const name of names) {
    const [settled, gone] = await once(name);
    spawned[name].push(settled);
    ended[name].push(gone);
  }
}
rmSync(floor.folder ?? '', { recursive: true, force: true });

const base = median(spawned.group);
const result = names.map((name) => ({
  containment: name,
  spawnMs: round(median(spawned[name])),
  toGroup: round(median(spawned[name]) / base),
  goneMs: round(median(ended[name])),
}));
if (values.json) console.log(JSON.stringify(result));
else console.table(result);
for (const [name, why] of refused) console.log(`${name}: ${why}`);
