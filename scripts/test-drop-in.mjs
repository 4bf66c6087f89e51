// The drop-in for node:child_process against Node's own module, on this Node and on others, which are fetched from npm into a
// temporary folder. Usage: npm run test:drop-in [-- --nodes 22,24,26] [-- test/name.test.ts ...]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './ensure-built.mjs';
import { run, runSuite, summarise } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { nodes: { type: 'string', default: '22,24,26' } },
});
const wanted = values.nodes.split(',').filter(Boolean);
if (wanted.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) throw new Error('--nodes takes versions: 22,24.1.0');
const files = positionals.length > 0 ? positionals : ['child-process-differential', 'child-process-preload'];

/** Path of a Node of that version, under a name by which the titles of the tests tell it apart. */
function fetchNode(folder, version) {
  const name = `node-linux-${process.arch}`; // the package `node` may silently be the Node that is already there
  const place = join(folder, version);
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', place];
  const status = run('npm', [...args, `${name}@${version}`], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`npm could not fetch Node ${version}`);
  const file = join(place, 'node_modules', name, 'bin/node');
  const said = spawnSync(file, ['-p', 'process.version'], { encoding: 'utf8' }).stdout.trim();
  if (!`${said}.`.startsWith(`v${version}.`)) throw new Error(`asked for Node ${version}, got '${said}'`);
  const link = join(folder, `node-${said.slice(1)}`);
  symlinkSync(file, link);
  return link;
}

await ensureBuilt();
const folder = mkdtempSync(join(tmpdir(), 'procgroup-nodes-'));
try {
  const nodes = [process.execPath, ...wanted.map((version) => fetchNode(folder, version))];
  console.log(`on ${[process.version, ...nodes.slice(1).map((path) => path.split('node-').at(-1))].join(', ')}`);
  process.exitCode = summarise([runSuite('drop-in', { PROCGROUP_TEST_NODES: nodes.join(':') }, [], files)]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
