// What this leans on inside Node, in one place: ChildProcess makes a native handle in its constructor, tells the
// diagnostics channel 'child_process' of itself, and later calls the handle. The shape has been the same since Node 0.6 but
// for the arguments of the handle's spawn(): one object up to Node 22, eight values from Node 24 on.
import { ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { ProcessGroupError } from '../errors.js';
import { binding } from '../native.js';
import { bare } from '../validate.js';

/** An entry of stdio as ChildProcess hands it to its handle. */
export interface StdioEntry {
  type: string;
  fd?: number;
  handle?: { fd?: number; open(fd: number): number | undefined };
}

/** What the handle's spawn() is given, in either form. */
export interface HandleRequest {
  file: string;
  args: unknown[] | undefined;
  cwd: string | undefined;
  envPairs: unknown[] | undefined;
  stdio: StdioEntry[];
  detached: boolean;
  uid: number | null | undefined;
  gid: number | null | undefined;
}

export interface NativeHandle {
  onexit(code: number | null, signal: string): void;
  spawn(...args: unknown[]): number;
  pid?: number;
  kill(signal: number): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  close(callback?: () => void): void;
}

/** ChildProcess, as far as it is not public. */
export interface InnerChild extends ChildProcess {
  _handle: NativeHandle | null;
}

/** kProcessFlagDetached of Node's process_wrap. */
const DETACHED = 1;

export function readRequest(given: unknown[]): HandleRequest {
  if (given.length === 1) return given[0] as HandleRequest;
  const [file, args, cwd, envPairs, stdio, flags, uid, gid] = given as [...unknown[]];
  return {
    file,
    args,
    cwd,
    envPairs,
    stdio,
    detached: ((flags as number) & DETACHED) !== 0,
    uid,
    gid,
  } as HandleRequest;
}

let positional = false;

/**
 * Frees a native handle that was never used: Node keeps one until it is closed, and closes none that has not been through
 * uv_spawn. A descriptor of -1 makes uv_spawn refuse (EINVAL) before it has done anything.
 */
export function disposeNative(native: NativeHandle): void {
  const stdio = [bare({ type: 'fd', fd: -1 })];
  if (positional) native.spawn('x', ['x'], undefined, [], stdio, 0, undefined, undefined);
  else native.spawn(bare({ file: 'x', args: ['x'], envPairs: [], stdio }));
  native.close();
  binding().settleClosed();
}

type Adopt = (child: InnerChild) => void;
let adopt: Adopt | undefined;
let verdict: ProcessGroupError | null | undefined;

/** Sets who is told of each ChildProcess that is made, before anybody else can see it. */
export function onChildMade(listener: Adopt): void {
  adopt = listener;
}

function unsupported(what: string): ProcessGroupError {
  const { bun, deno, node } = process.versions;
  const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
  return new ProcessGroupError(`the drop-in for node:child_process cannot work on ${runtime}: ${what}`, {
    code: 'ERR_UNSUPPORTED_RUNTIME',
    stage: 'validate',
  });
}

const MEMBERS = ['spawn', 'kill', 'ref', 'unref', 'hasRef', 'close', 'onexit'] as const;

/** Makes a ChildProcess that starts nothing, and looks at what it calls. The first call of a process pays for it. */
function examine(): ProcessGroupError | null {
  if (process.versions.bun || process.versions.deno) return unsupported('its ChildProcess has no handle to replace');
  let made: InnerChild | undefined;
  const before = adopt;
  adopt = (child) => {
    made ??= child;
  };
  subscribe('child_process', (message) => {
    const child = (message as { process?: InnerChild }).process;
    if (child !== undefined) adopt?.(child);
  });
  const child = new (ChildProcess as unknown as new () => InnerChild)();
  adopt = before;
  if (made !== child) return unsupported("the channel 'child_process' does not tell of a new ChildProcess");
  const native = child._handle;
  if (typeof native !== 'object' || native === null) return unsupported('ChildProcess has no _handle');
  for (const name of MEMBERS) {
    if (typeof native[name] !== 'function') return unsupported(`the handle of ChildProcess has no ${name}()`);
  }
  return examineCall(child, native);
}

function examineCall(child: InnerChild, native: NativeHandle): ProcessGroupError | null {
  const wanted = {
    file: 'procgroup-shape',
    args: ['a'],
    cwd: '/',
    envPairs: ['A=1'],
    stdio: 'ignore',
    detached: true,
    uid: 65534,
    gid: 65533,
  };
  let seen: unknown[] = [];
  const EINVAL = -22; // makes ChildProcess throw, and do nothing else
  child._handle = {
    ...native,
    spawn: (...args: unknown[]) => {
      seen = args;
      return EINVAL;
    },
    close: () => {},
  } as NativeHandle;
  try {
    (child as unknown as { spawn(options: object): void }).spawn(bare(wanted));
    return unsupported('ChildProcess takes no error from its handle');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') return unsupported(String(error));
  }
  positional = seen.length === 8;
  const got = seen.length === 1 || seen.length === 8 ? readRequest(seen) : undefined;
  const right =
    got !== undefined &&
    got.file === wanted.file &&
    Array.isArray(got.args) &&
    got.cwd === wanted.cwd &&
    Array.isArray(got.envPairs) &&
    Array.isArray(got.stdio) &&
    got.stdio.length === 3 &&
    got.stdio.every((entry) => entry.type === 'ignore') &&
    got.detached === true &&
    got.uid === wanted.uid &&
    got.gid === wanted.gid;
  return right ? null : unsupported('the handle of ChildProcess is called in another way');
}

/** Throws ERR_UNSUPPORTED_RUNTIME where ChildProcess is not made the way that this file knows. Looks once. */
export function checkShape(): void {
  if (verdict === undefined) verdict = examine();
  if (verdict !== null) throw verdict;
}
