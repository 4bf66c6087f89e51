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

const LOOKS = 5;

/** SIGKILL to whatever bears the mark, until nothing does; false where something is left after 3 s. */
export async function endMarked(mark) {
  // A process in the middle of exec shows no environment: one look without a find proves nothing.
  let quiet = 0;
  for (const end = performance.now() + 3_000; quiet < LOOKS && performance.now() < end; await delay(10)) {
    const pids = marked(mark);
    quiet = pids.length === 0 ? quiet + 1 : 0;
    for (const pid of pids) killOne(pid, mark);
  }
  return quiet >= LOOKS;
}
