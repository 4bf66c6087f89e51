// S5 whole: the supervisor of a tree is SIGKILLed at a random moment, a thousand times, and nobody may be left.
// Usage: npm run test:long -- [--rounds N]
import { parseArgs } from 'node:util';
import { ensureBuilt } from './ensure-built.mjs';
import { programs, root, run } from './support.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '1000' } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a positive integer');

ensureBuilt();
// The suite's own test, whose hundred rounds the scale stretches.
process.exitCode = run(process.execPath, [programs.vitest, 'run', 'test/tree-random-sigkill.test.ts'], {
  cwd: root,
  env: { ...process.env, PROCGROUP_TEST_SCALE: String(rounds / 100) },
});
