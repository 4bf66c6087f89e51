// The same worker with a shared helper: the first read starts it, it ends when it is idle, and with the worker at the latest.
import { sharedHelper } from 'procgroup/helper';
import { Client, reader } from './client.mjs';

const [file, args] = reader;
const shared = sharedHelper('reader', {
  file,
  args,
  spawn: { containment: 'tree', stdio: ['pipe', 'pipe', 'ignore'] },
  ready: (group) => new Client(group),
});
const read = (key) => shared.use((client) => client.read(key));

const values = await Promise.all(Array.from({ length: 100 }, (_, i) => read(`key ${i}`)));
console.log(`${values.length} reads, the last gave '${values.at(-1)}'`);
// Recycled: let go, or killed by a pool that has lost its patience.
if (process.argv[2] === 'killed') process.kill(process.pid, 'SIGKILL');
process.exit(0);
