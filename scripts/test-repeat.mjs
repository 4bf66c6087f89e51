// The suite, or the named files of it, again and again until it fails.
// Usage: npm run test:repeat -- [--count N] [--beside N] [--loaded] [test/name.test.ts ...]
// --beside N runs go on side by side: each is the load of the others. --loaded keeps two cores busy besides.
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ensureBuilt } from './ensure-built.mjs';
import { startSuite, summarise } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '20' },
    beside: { type: 'string', default: '1' },
    loaded: { type: 'boolean', default: false },
  },
});
const [count, beside] = ['count', 'beside'].map((name) => {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} takes a positive integer`);
  return number;
});

await ensureBuilt();
// Threads, so that they end with this process however it ends.
if (values.loaded) for (let i = 0; i < 2; i++) new Worker('for (;;);', { eval: true });

const runs = [];
let begun = 0;
async function lane() {
  while (begun < count && runs.every((counts) => counts.failed === 0)) {
    begun++;
    const began = performance.now();
    const counts = await startSuite(`run ${begun} of ${count}${values.loaded ? ', loaded' : ''}`, positionals);
    runs.push(counts);
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(
      `${counts.label}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, ${seconds} s`,
    );
  }
}
await Promise.all(Array.from({ length: beside }, lane));
process.exit(summarise(runs));
