// Finds and ends processes by a mark in their environment: independent of how they were started, and of procgroup's own view.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { pidfdOpen } from 'procgroup/posix';

const NAME = 'PROCGROUP_DEMO';

export function markedEnv(mark) {
  return { ...process.env, [NAME]: mark };
}

function bears(pid, mark) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${NAME}=${mark}`);
  } catch {
    return false;
  }
}

/** Pids of the processes that bear the mark. A zombie has no environment any more, and is none of them. */
export function marked(mark) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && bears(name, mark))
    .map(Number);
}

function killOne(pid, mark) {
  let fd;
  try {
    fd = pidfdOpen(pid);
    // Looked at once more: the number may have been reused before the pidfd pinned it.
    if (bears(pid, mark)) fd.send('SIGKILL');
  } catch {
    // It has gone meanwhile.
  } finally {
    fd?.close();
  }
}

/** SIGKILL to whatever bears the mark, until nothing does; false where something is left after 2 s. */
export async function endMarked(mark) {
  for (const end = performance.now() + 2_000; performance.now() < end; await delay(5)) {
    const pids = marked(mark);
    if (pids.length === 0) return true;
    for (const pid of pids) killOne(pid, mark);
  }
  return marked(mark).length === 0;
}
