// What the suite does in a shorter form, whole: supervisors and guardians are SIGKILLed at random moments (S5, S6), and a
// worker with trees is terminated (T7), a thousand times each, and nobody may be left, and no cgroup.
// Usage: npm run test:long -- [--rounds N]
import { parseArgs } from 'node:util';
import { ensureBuilt } from './ensure-built.mjs';
import { programs, root, run } from './support.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '1000' } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a positive integer');

await ensureBuilt();
/** The suite's own tests, and how often the suite does it: the scale stretches that. */
const tests = {
  'tree-random-sigkill': 40,
  'tree-worker-terminate': 200,
  'contained-supervisor-killed': 20,
  'contained-guardian-killed': 60,
};
for (const [name, usual] of Object.entries(tests)) {
  const status = run(process.execPath, [programs.vitest, 'run', `test/${name}.test.ts`], {
    cwd: root,
    env: { ...process.env, PROCGROUP_TEST_SCALE: String(rounds / usual) },
  });
  if (status !== 0) process.exitCode = status;
}
