import { writeSync } from 'node:fs';
import type { ProcessGroup } from './process-group.js';
import { descendants, type ProcessInfo, readProcesses } from './procfs.js';
import type { Mechanism } from './types.js';
import { oneOf } from './validate.js';

/** One living process of a shared helper, with all that it has started. */
export interface HelperInfo {
  key: string;
  /** 'starting' also while it waits for its back-off, or for the process before it to be gone: pid is null then. */
  state: 'starting' | 'busy' | 'idle' | 'stopping';
  command: readonly string[];
  pid: number | null;
  pgid: number | null;
  mechanism: Mechanism | null;
  /** Milliseconds since exec. */
  ageMs: number;
  /** Members of its tree, or group, and their resident bytes, by a look at /proc. */
  processes: number;
  memoryBytes: number;
  /** Stack of the sharedHelper() call that defined it. */
  definedAt: string;
  /** Stack of the use that started this process. */
  startedAt: string;
  /** Stacks of the uses that hold it, or wait for it. */
  users: string[];
}

/** @internal */
export interface Stack {
  readonly stack: string;
}

/** @internal The lines of the callers. */
export const callers = ({ stack }: Stack): string => stack.replace(/^.*\n?/, '').replace(/^ +/gm, '      ');

/** @internal One process, from the use that starts it to its end. */
export class HelperLife {
  state: HelperInfo['state'] = 'starting';
  /** Who waits for it or holds it. */
  readonly users = new Set<Stack>();
  readonly ending = new AbortController();
  group: ProcessGroup | undefined;
  up: Promise<unknown> = Promise.resolve();
  spawnedAt = 0;
  idle: NodeJS.Timeout | undefined;

  constructor(
    readonly key: string,
    readonly command: readonly string[],
    readonly definedAt: Stack,
    readonly startedAt: Stack,
  ) {
    lives.add(this);
  }
}

/** @internal What lives in this thread. */
export const lives = new Set<HelperLife>();

/** The helpers that live in this thread, oldest first. */
export function helpers(): HelperInfo[] {
  const all = lives.size === 0 ? new Map<number, ProcessInfo>() : readProcesses();
  return [...lives].map(({ key, state, command, group, ...life }) => {
    const { pid = null, pgid = null, mechanism = null } = group ?? {};
    const ageMs = group === undefined ? 0 : performance.now() - life.spawnedAt;
    const members = group === undefined ? [] : membersOf(group, all).filter((one) => one.state !== 'Z');
    const memoryBytes = members.reduce((sum, { rss }) => sum + rss, 0);
    const size = { ageMs, processes: members.length, memoryBytes };
    const [definedAt, startedAt, ...users] = [life.definedAt, life.startedAt, ...life.users].map(callers);
    return { key, state, command, pid, pgid, mechanism, ...size, definedAt, startedAt, users } as HelperInfo;
  });
}

function membersOf({ pgid, mechanism }: ProcessGroup, all: ReadonlyMap<number, ProcessInfo>): ProcessInfo[] {
  if (mechanism.guardianPid !== null) return descendants(all, mechanism.guardianPid).slice(1);
  return [...all.values()].filter((one) => one.pgid === pgid);
}

/** helpers() as text: who started what, where, how long ago, how big. */
export function report(): string {
  const list = helpers();
  const blocks = list.map((one) => {
    const mib = (one.memoryBytes / 2 ** 20).toFixed(1);
    const size = `${(one.ageMs / 1000).toFixed(1)} s old, processes: ${one.processes}, ${mib} MiB`;
    const who = `pid ${one.pid}, pgid ${one.pgid}, ${one.mechanism?.containment}, ${size}`;
    const stacks = [`defined\n${one.definedAt}`, `started\n${one.startedAt}`, ...one.users.map((at) => `used\n${at}`)];
    return `  '${one.key}', ${one.state}: ${one.pid === null ? 'no process yet' : who}\n    ${[one.command.join(' '), ...stacks].join('\n    ')}\n`;
  });
  return `procgroup: living helpers of process ${process.pid}: ${list.length}\n${blocks.join('')}`;
}

function print(): void {
  try {
    // Synchronous, also in an exit handler and in a worker.
    writeSync(2, report());
  } catch {
    // Nobody reads stderr: no reason to disturb the process.
  }
}

/**
 * Prints report() to stderr whenever the signal arrives, until the function that this returns is called. Not in worker threads,
 * which get no signals; SIGUSR1 starts Node's debugger too. Throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE.
 */
export function reportOn(signal: 'SIGUSR1' | 'SIGUSR2' = 'SIGUSR2'): () => void {
  process.on(oneOf('signal', signal, ['SIGUSR1', 'SIGUSR2'] as const, 'SIGUSR2'), print);
  return () => void process.off(signal, print);
}

let printing = false;

/** @internal With PROCGROUP_REPORT=1 report() is printed when the process, or the worker thread, exits. */
export function printAtExit(): void {
  if (printing || process.env.PROCGROUP_REPORT !== '1') return;
  printing = true;
  process.once('exit', print);
}
