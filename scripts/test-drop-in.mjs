// The drop-in for node:child_process against Node's own module, on this Node and on others, which are fetched from npm into a
// temporary folder. Usage: npm run test:drop-in [-- --nodes 22,24,26] [-- test/name.test.ts ...]
import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { downloadsIn, npmPackage, withFolder } from './downloads.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { runSuite, summarise } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { nodes: { type: 'string', default: '22,24,26' } },
});
const wanted = values.nodes.split(',').filter(Boolean);
if (wanted.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) throw new Error('--nodes takes versions: 22,24.1.0');
const files = positionals.length > 0 ? positionals : ['child-process-differential', 'child-process-preload'];

/** Path of a Node of that version, under a name by which the titles of the tests tell it apart. */
function fetchNode(folder, downloads, version) {
  const file = join(npmPackage(downloads, `node-linux-${process.arch}@${version}`), 'bin/node');
  const said = spawnSync(file, ['-p', 'process.version'], { encoding: 'utf8' }).stdout.trim();
  if (!`${said}.`.startsWith(`v${version}.`)) throw new Error(`asked for Node ${version}, got '${said}'`);
  const link = join(folder, `node-${said.slice(1)}`);
  symlinkSync(file, link);
  return link;
}

await ensureBuilt();
await withFolder('nodes', (folder) => {
  const downloads = downloadsIn(folder);
  const nodes = [process.execPath, ...wanted.map((version) => fetchNode(folder, downloads, version))];
  console.log(`on ${[process.version, ...nodes.slice(1).map((path) => path.split('node-').at(-1))].join(', ')}`);
  process.exitCode = summarise([runSuite('drop-in', { PROCGROUP_TEST_NODES: nodes.join(':') }, [], files)]);
});
