// The suite, or the named files of it, under each fallback of the engine, forced by the test-only switch, and under all of
// them at once. Usage: npm run test:fallbacks [-- switch ... | all] [--short] [test/name.test.ts ...]
// A comma list of switches is one run: npm run test:fallbacks -- clone3,pidfd
import { ensureBuilt } from './ensure-built.mjs';
import { excluding } from './left-out.mjs';
import { chooseFiles } from './short-runs.mjs';
import { runSuite, summarise } from './support.mjs';

const switches = [
  'clone3',
  'clone_pidfd',
  'pidfd_group',
  'close_range',
  'pidfd',
  'waitid_pidfd',
  'pidfd_info',
  'number_free',
];
const args = process.argv.slice(2);
const files = chooseFiles('fallbacks', args);
const named = args.filter((argument) => argument !== '--short' && !argument.endsWith('.test.ts'));
const chosen = named.length > 0 ? named : [...switches, 'all'];
const known = [...switches, 'all'];
const unknown = chosen.flatMap((names) => names.split(',')).filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`unknown switch: ${unknown.join(', ')}`);

await ensureBuilt();
const exclude = excluding('fallbacks');
const runs = chosen.map((names) => {
  const label = names === 'all' ? 'without all of them' : `without ${names}`;
  const disabled = names === 'all' ? switches.join(',') : names;
  return runSuite(label, { PROCGROUP_TEST_DISABLE: disabled, PROCGROUP_TEST_EXCLUDE: exclude }, [], files);
});
process.exitCode = summarise(runs);
