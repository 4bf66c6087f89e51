// The whole suite under each fallback of the engine, forced by the test-only switch, and under all of them at once.
// Names given as arguments run those alone: npm run test:fallbacks -- clone3 pidfd
import { ensureBuilt } from './ensure-built.mjs';
import { runSuite, summarise } from './support.mjs';

const switches = ['clone3', 'clone_pidfd', 'pidfd_group', 'close_range', 'pidfd'];
const all = [...switches, switches.join(',')];
const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;
const unknown = chosen.flatMap((names) => names.split(',')).filter((name) => !switches.includes(name));
if (unknown.length > 0) throw new Error(`unknown switch: ${unknown.join(', ')}`);

ensureBuilt();
const runs = chosen.map((names) => {
  const label = names === all.at(-1) ? 'without all of them' : `without ${names}`;
  return runSuite(label, { PROCGROUP_TEST_DISABLE: names });
});
process.exitCode = summarise(runs);
