// Names and ends what a run left alive. Usage: node scripts/leftovers.mjs MARKER
// A process is of that run if its environment holds MARKER (NAME=value); we and our ancestors are spared. A zombie has no
// environment any more and does not count.
import { readdirSync, readFileSync } from 'node:fs';

const marker = process.argv[2];

/** What /proc tells of a process, or '' where it is gone or closed to us. */
function look(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

/** The fields of /proc/pid/stat from the third on. */
function stat(pid) {
  const text = look(pid, 'stat');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { ppid: Number(fields[1]), startTime: fields[19] };
}

const spared = new Set();
for (let pid = process.pid; pid > 0; pid = stat(pid).ppid) spared.add(pid);

function leftovers() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !spared.has(Number(name)))
    .map((name) => ({ pid: Number(name), startTime: stat(name).startTime, args: look(name, 'cmdline') }))
    .filter(({ pid }) => look(pid, 'environ').split('\0').includes(marker));
}

// Nothing tells when a process that is not our child ends, so look again until none is left or two seconds are over.
const deadline = performance.now() + 2_000;
let left = leftovers();
while (left.length > 0 && performance.now() < deadline) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  left = leftovers();
}
for (const { pid, startTime, args } of left) {
  console.log(`left alive: ${pid} ${args.replaceAll('\0', ' ').slice(0, 160)}`);
  if (stat(pid).startTime !== startTime) continue;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
process.exitCode = left.length === 0 ? 0 : 1;
