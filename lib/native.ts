import { util } from './builtins.js';
import { NOT_OF_LIBUV } from './errno-names.js';
import { ProcessGroupError } from './errors.js';
import { loadAddon, requireHere } from './package-files.js';
import { testSwitch } from './test-switch.js';
import type { Holder, Member } from './types.js';

/** Rows of native/addon/events.h. */
export enum Row {
  Spawned = 0,
  Failed = 1,
  Exit = 2,
  Draining = 3,
  Gone = 4,
  Members = 5,
  StopState = 6,
  PidfdReady = 7,
  Holders = 8,
  Paused = 9,
}
const COLUMNS = 16;

/** Stage of native/core/result.h, in its order. */
const STAGES = [
  'none',
  'lookup',
  'stdio',
  'clone',
  'fd-table',
  'signals',
  'setsid',
  'setpgid',
  'placement',
  'foreground',
  'parent-death',
  'umask',
  'nice',
  'oom-score',
  'chdir',
  'descriptors',
  'stray-fds',
  'rlimit',
  'signal-mask',
  'exec',
  'register',
  'groups',
  'setgid',
  'setuid',
  'guardian',
  'cgroup',
  'namespace',
] as const;
export type StageName = (typeof STAGES)[number];
export const stageName = (stage: number): StageName => STAGES[stage] ?? 'none';

export interface Payload {
  syscall?: string;
  /** Directory of the cgroup, '' for none. */
  leaf: string;
  usage: number[];
  fds: number[];
  steps: { signal: number; target: number; err: number; atMs: number }[];
  survivors: (Omit<Member, 'startTime' | 'rss'> & { wchan: string; err: number; heldByTracer: boolean })[];
  members: Member[];
  holders: Holder[];
}

/** What the addon exports. Numbers below zero are negative errnos. */
export interface Binding {
  /** `disabled`: names of kernel features to do without, for tests. */
  start(deliver: (count: number) => void, disabled: string): Engine | number;
  probe(disabled: string): number[];
  /** Directly after a handle was closed for which uv_spawn had refused. */
  settleClosed(): void;
  getpgid(pid: number): number;
  getpgrp(): number;
  getsid(pid: number): number;
  setpgid(pid: number, pgid: number): number;
  setsid(): number;
  guardPgid(pgid: number): number;
  killpg(pgid: number, signal: number): number;
  pidfdOpen(pid: number): number;
  pidfdSend(pidfd: number, signal: number): number;
  closeFd(fd: number): number;
  /** 0: the kernel would execute that file for this user. */
  executable(path: string): number;
  /** Makes the addon's own copy of the guardian ready; a descriptor. native/addon/carried.h. */
  carryGuardian(): number;
  tcgetpgrp(fd: number): number;
  tcsetpgrp(fd: number, pgid: number): number;
}

/** Command and environment, each as lines joined by NUL. */
export type Killer = readonly [command: string, environment: string];

/** The engine, bound to our queue. Numbers below zero are negative errnos. */
export interface Engine {
  readonly rows: Float64Array;
  spawn(
    ticket: number,
    file: string,
    argv: string,
    env: string | null,
    cwd: string | null,
    paths: string | null,
    killer: Killer | null,
    numbers: Float64Array,
    guardian: string | null,
    cgroup: readonly [parent: string, limits: string, moveSupervisor: boolean] | null,
  ): void;
  /** A spawn that has settled; null where argv or env hold a NUL. native/addon/sync_spawn.h. */
  spawnNow(
    ...args: [...Parameters<Engine['spawn']>, argc: number, envc: number, uid: number | null, gid: number | null]
  ): [error: number, id: number, pid: number, guardianPid: number, stage: number, fds: number[]] | null;
  signalLeader(id: number, signal: number): number;
  cancel(ticket: number): void;
  begin(id: number, cause: number, kill: boolean): boolean;
  signal(id: number, signal: number): number;
  members(id: number): boolean;
  release(id: number): boolean;
  /** Infinity: no lease. False: a teardown had begun. */
  renew(id: number, leaseMs: number): boolean;
  pause(id: number, on: boolean): number;
  watchStops(id: number): number;
  holders(ticket: number, inode: number): void;
  attach(
    ticket: number,
    pgid: number,
    killer: Killer | null,
    numbers: Float64Array,
  ): [id: number, sid: number, pin: number, leaderExited: boolean] | number;
  payload(row: number): Payload;
  ref(): void;
  unref(): void;
  watchPidfd(fd: number, ticket: number): number;
  forgetPidfd(fd: number, ticket: number): void;
  /** A function that has `callback` called at the end of the loop's poll; null without libuv. native/addon/libuv.h. */
  afterPoll(callback: () => void): (() => void) | null;
}

/** One row of an event: column 0 is its type, column 1 the ticket. Valid during the call only. */
export interface RowView {
  at(column: number): number;
  payload(): Payload;
}
export type RowSink = (type: Row, row: RowView) => void;

let loaded: Binding | undefined;

/**
 * The addon, loaded at first use. Throws ERR_UNSUPPORTED_PLATFORM elsewhere than on Linux x64 and arm64, ERR_ADDON_MISSING,
 * ERR_ADDON_REFUSED.
 */
export function binding(): Binding {
  loaded ??= load();
  return loaded;
}

function load(): Binding {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw new ProcessGroupError(`procgroup runs on Linux x64 and arm64, this is ${process.platform} ${process.arch}`, {
      code: 'ERR_UNSUPPORTED_PLATFORM',
    });
  }
  const override = testSwitch('ADDON');
  return (override ? requireHere()(override) : loadAddon()) as Binding;
}

/** Which kernel features work: the bits, then the errno of each. */
export function probe(): number[] {
  return binding().probe(testSwitch('DISABLE') ?? '');
}

const sinks = new Map<number, RowSink>();
let started: Engine | undefined;
let rows: Float64Array;
let lastTicket = 0;
let offset = 0;
let index = 0;

const view: RowView = {
  at: (column) => rows[offset + column] as number,
  payload: () => (started as Engine).payload(index),
};

function deliver(count: number): void {
  for (index = 0; index < count; index++) {
    offset = index * COLUMNS;
    const sink = sinks.get(view.at(1));
    if (sink === undefined) continue;
    try {
      sink(view.at(0), view);
    } catch (error) {
      // A defect, not a user's: listeners run in turns of their own. The rest of the batch must not be lost with it.
      process.nextTick(() => {
        throw error;
      });
    }
  }
}

/** The engine. The first call of a copy of this module makes its queue, the first in a process starts the thread. */
export function engine(): Engine {
  if (started === undefined) {
    const answer = binding().start(deliver, testSwitch('DISABLE') ?? '');
    if (typeof answer === 'number') throw systemError(answer, 'epoll_create1', 'register', 'cannot start the engine');
    started = answer;
    rows = answer.rows;
  }
  return started;
}

/** A ticket names one receiver of rows until it is dropped. */
export function openTicket(sink: RowSink): number {
  do {
    lastTicket = (lastTicket + 1) % 0xffffffff;
  } while (sinks.has(lastTicket));
  sinks.set(lastTicket, sink);
  return lastTicket;
}
export function dropTicket(ticket: number): void {
  sinks.delete(ticket);
}

let scratch = new Float64Array(64);
/** Numbers for one call of the addon, which has read them when it returns: an array for each call would be memory outside the heap. */
export function packed(numbers: readonly number[]): Float64Array {
  if (scratch.length < numbers.length) scratch = new Float64Array(numbers.length * 2);
  scratch.set(numbers);
  return scratch;
}

let holds = 0;
/** Keeps the event loop alive; each call is paired with one of letGo(). */
export function hold(): void {
  if (holds++ === 0) engine().ref();
}
export function letGo(): void {
  if (--holds === 0) engine().unref();
}

/** Error name of a negative errno. */
export function errorName(errno: number): string {
  return NOT_OF_LIBUV[-errno] ?? util().getSystemErrorName(errno);
}

export function systemError(errno: number, syscall: string, stage: string, what: string): ProcessGroupError {
  const code = errorName(errno);
  return new ProcessGroupError(`${what}: ${syscall} ${code}`, { code, errno, syscall, stage });
}
