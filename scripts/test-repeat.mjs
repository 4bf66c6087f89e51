// The whole suite again and again, until it fails. Usage: npm run test:repeat -- [--count N] [--loaded]
// --loaded keeps two cores busy beside it.
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ensureBuilt } from './ensure-built.mjs';
import { runSuite, summarise } from './support.mjs';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '20' }, loaded: { type: 'boolean', default: false } },
});
const count = Number(values.count);
if (!Number.isInteger(count) || count < 1) throw new Error('--count takes a positive integer');

await ensureBuilt();
// Threads, so that they end with this process however it ends.
if (values.loaded) for (let i = 0; i < 2; i++) new Worker('for (;;);', { eval: true });

const runs = [];
while (runs.length < count && runs.every((counts) => counts.failed === 0)) {
  runs.push(runSuite(`run ${runs.length + 1} of ${count}${values.loaded ? ', loaded' : ''}`));
}
process.exit(summarise(runs));
