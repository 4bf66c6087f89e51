// Looks for survivors. Shares no code with the engine: it knows a scenario's processes by an environment variable and
// reads /proc itself. Everything is synchronous, so that one look is one moment as nearly as /proc allows.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { MARK } from './environment.mjs';

export { newMark } from './environment.mjs';

function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

function list(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

export function pids() {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Fields of /proc/PID/stat, or null where the process is gone. */
export function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  const close = text.lastIndexOf(')');
  const rest = text.slice(close + 2).split(' ');
  return {
    pid: Number(pid),
    comm: text.slice(text.indexOf('(') + 1, close),
    state: rest[0],
    ppid: Number(rest[1]),
    pgid: Number(rest[2]),
    sid: Number(rest[3]),
    threads: Number(rest[17]),
    startTime: Number(rest[19]),
  };
}

/** Dead: not there, or a zombie without a running thread. A main thread that ended reads Z while others run on. */
export function isDead(pid) {
  const seen = stat(pid);
  return seen === null || ((seen.state === 'Z' || seen.state === 'X') && seen.threads <= 1);
}

/** Whether the process has the mark, or one below it. */
export function bears(pid, id) {
  const exact = `${MARK}=${id}`;
  const prefix = id.endsWith('.') ? exact : `${exact}.`;
  const found = (text) => text?.split('\0').some((entry) => entry === exact || entry.startsWith(prefix)) ?? false;
  if (found(read(`/proc/${pid}/environ`))) return true;
  if (stat(pid)?.state !== 'Z') return false;
  return list(`/proc/${pid}/task`).some((tid) => found(read(`/proc/${pid}/task/${tid}/environ`)));
}

/** Live processes with the mark, or with one below it. Zombies do not count. `${id}.` gives only those below it. */
export function alive(id) {
  const found = [];
  for (const pid of pids()) {
    if (pid === process.pid || !bears(pid, id) || isDead(pid)) continue;
    const cmdline = read(`/proc/${pid}/cmdline`)?.split('\0').filter(Boolean).join(' ') ?? '';
    const seen = stat(pid);
    if (seen) found.push({ pid, state: seen.state, pgid: seen.pgid, cmdline: cmdline || `[${seen.comm}]` });
  }
  return found;
}

export function zombieChildrenOf(pid = process.pid) {
  return pids().filter((child) => {
    const seen = stat(child);
    return seen !== null && seen.ppid === pid && seen.state === 'Z' && seen.threads <= 1;
  });
}

export function childrenOf(pid = process.pid) {
  return pids().filter((child) => stat(child)?.ppid === pid);
}

/** Open descriptors with what they refer to, without the one that this look itself needs. */
export function openFds(pid = process.pid) {
  const found = [];
  for (const name of list(`/proc/${pid}/fd`)) {
    try {
      found.push({ fd: Number(name), target: readlinkSync(`/proc/${pid}/fd/${name}`) });
    } catch {
      // Closed meanwhile: the descriptor of readdir.
    }
  }
  return found.sort((a, b) => a.fd - b.fd);
}

export function threads(pid = process.pid) {
  return list(`/proc/${pid}/task`)
    .map((tid) => ({ tid: Number(tid), comm: read(`/proc/${pid}/task/${tid}/comm`)?.trim() }))
    .filter(({ comm }) => comm !== undefined); // it has ended since it was listed
}

/**
 * Threads but those that wait for one child where there are no pidfds, and the engine's spawners: there are more of those
 * while clones are stuck, and they stay (see leaks.test.ts). A thread that has never run cannot have given itself its name
 * yet: it is not counted either; one that is leaked has run.
 */
export function steadyThreads(pid = process.pid) {
  const hasRun = (tid) => read(`/proc/${pid}/task/${tid}/schedstat`)?.trim().split(' ')[2] !== '0';
  return threads(pid).filter(({ tid, comm }) => !['procgroup-spawn', 'procgroup-wait'].includes(comm) && hasRun(tid))
    .length;
}

const HANG_MS = 30_000 * Number(process.env.PROCGROUP_TEST_SLOWNESS ?? 1);

/**
 * Looks until cond() is truthy, and gives that value. The timeout is a failure: nothing that is tested may depend on
 * how often this looks.
 */
export async function waitUntil(cond, { timeoutMs = HANG_MS, everyMs = 5, what = String(cond) } = {}) {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await cond();
    if (value) return value;
    if (performance.now() > end) throw new Error(`not so after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** SIGKILLs what has the mark, looking again before each kill, until a look finds nothing. Gives what it killed. */
export function killMarked(id, { rounds = 200 } = {}) {
  const killed = new Map();
  for (let round = 0; round < rounds; round++) {
    const left = alive(id);
    if (left.length === 0) break;
    for (const one of left) {
      if (!bears(one.pid, id)) continue;
      killed.set(one.pid, one);
      try {
        process.kill(one.pid, 'SIGKILL');
      } catch {
        // Gone, or not ours to signal: the next look tells.
      }
    }
  }
  return [...killed.values()];
}
