/**
 * A reader of /proc for people's eyes (`procgroup tree`, the demo). It is a snapshot that races with the processes it
 * describes: the engine never decides by it. proc(5).
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessInfo {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  /** State letter of proc(5): R S D T t Z X I. */
  state: string;
  /** Up to 15 bytes, chosen by the process. */
  comm: string;
  /** The arguments joined by blanks; '' for kernel threads and zombies. Chosen by the process. */
  commandLine: string;
  /** Clock ticks after boot. With the pid it tells one process from a later one with the same number. */
  startTime: number;
  ageSeconds: number;
  /** Resident bytes. */
  rss: number;
  threads: number;
  kernelThread: boolean;
}

const AT_PAGESZ = 6;
const AT_CLKTCK = 17;
const PF_KTHREAD = 0x0020_0000;

interface Units {
  pageBytes: number;
  ticksPerSecond: number;
}

/** What sysconf(3) would say, from the auxiliary vector: pairs of 64-bit words. */
function readUnits(): Units {
  const units: Units = { pageBytes: 4096, ticksPerSecond: 100 };
  try {
    const auxv = readFileSync('/proc/self/auxv');
    const read = (at: number): number => Number(auxv.readBigUInt64LE(at));
    for (let at = 0; at + 16 <= auxv.length; at += 16) {
      if (read(at) === AT_PAGESZ) units.pageBytes = read(at + 8);
      if (read(at) === AT_CLKTCK) units.ticksPerSecond = read(at + 8);
    }
  } catch {
    // An undumpable process of another uid may not read it: the values above are the common ones.
  }
  return units;
}

let units: Units | undefined;

function uptimeSeconds(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

/** null where the process is gone or hidden. */
export function readProcess(pid: number, uptime = uptimeSeconds()): ProcessInfo | null {
  units ??= readUnits();
  let stat: string;
  let commandLine = '';
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  try {
    commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').replaceAll('\0', ' ');
  } catch {
    // Ended between the two reads, or not ours to read.
  }
  // comm may hold blanks and parentheses, so the fields count from the last parenthesis.
  const open = stat.indexOf('(');
  const close = stat.lastIndexOf(')');
  const fields = stat.slice(close + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  const startTime = field(22);
  return {
    pid,
    ppid: field(4),
    pgid: field(5),
    sid: field(6),
    state: fields[0] ?? '?',
    comm: stat.slice(open + 1, close),
    commandLine,
    startTime,
    ageSeconds: Math.max(0, uptime - startTime / units.ticksPerSecond),
    rss: field(24) * units.pageBytes,
    threads: field(20),
    kernelThread: (field(9) & PF_KTHREAD) !== 0,
  };
}

/** Every process that /proc shows, by pid. */
export function readProcesses(): Map<number, ProcessInfo> {
  const uptime = uptimeSeconds();
  const processes = new Map<number, ProcessInfo>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const info = readProcess(Number(name), uptime);
    if (info !== null) processes.set(info.pid, info);
  }
  return processes;
}

/** The kernel function a process sleeps in; '' where the kernel does not say. */
export function readWchan(pid: number): string {
  try {
    const wchan = readFileSync(`/proc/${pid}/wchan`, 'utf8');
    return wchan === '0' ? '' : wchan;
  } catch {
    return '';
  }
}

/** `pid` and everything below it, parents first. */
export function descendants(processes: ReadonlyMap<number, ProcessInfo>, pid: number): ProcessInfo[] {
  const children = groupByParent(processes.values());
  const root = processes.get(pid);
  if (root === undefined) return [];
  const found = [root];
  for (let at = 0; at < found.length; at++) found.push(...(children.get((found[at] as ProcessInfo).pid) ?? []));
  return found;
}

export function groupByParent(processes: Iterable<ProcessInfo>): Map<number, ProcessInfo[]> {
  const children = new Map<number, ProcessInfo[]>();
  for (const process of processes) {
    const siblings = children.get(process.ppid);
    if (siblings === undefined) children.set(process.ppid, [process]);
    else siblings.push(process);
  }
  return children;
}
