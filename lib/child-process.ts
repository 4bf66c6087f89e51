/**
 * A drop-in for node:child_process: the same functions, arguments, events and errors, the same objects, on the engine of
 * this package. A spawn does not cost more the larger this process is, and with `containment` (or PROCGROUP_CONTAINMENT in the
 * environment) what a child starts goes down with it. docs/guides/child-process.md has the guide,
 * docs/child-process-compat.md the differences.
 *
 * The first call throws ERR_UNSUPPORTED_RUNTIME where this runtime's ChildProcess is not Node's (Bun, Deno),
 * ERR_UNSUPPORTED_PLATFORM elsewhere than on Linux, ERR_ADDON_REFUSED where addons may not be loaded.
 */
import node from 'node:child_process';
import { functions } from './child-process/functions.js';
import type { Exec, ExecFile, Fork, Spawn } from './child-process/signatures.js';

/** Starts `command`. Node's own, with options of ours; the child has stop(). */
export const spawn = functions.spawn as unknown as Spawn;
/** Runs a command line in a shell and collects its output. Node's own, with options of ours. */
export const exec = functions.exec as unknown as Exec;
/** Runs a program and collects its output. Node's own, with options of ours. */
export const execFile = functions.execFile as unknown as ExecFile;
/** Starts a Node with a channel for messages. Node's own, with options of ours. */
export const fork = functions.fork as unknown as Fork;

/** Node's own. */
export { ChildProcess, execFileSync, execSync, spawnSync } from 'node:child_process';

type ForkChild = (fd: number, serialization: string) => void;
/** Node's own, for Node's own use. */
export const _forkChild: ForkChild = (node as unknown as { _forkChild: ForkChild })._forkChild;

/** All of Node's, with ours in place: what require() gives. It may be written to. */
const shape: Omit<typeof node, 'exec' | 'execFile' | 'fork' | 'spawn'> & {
  exec: Exec;
  execFile: ExecFile;
  fork: Fork;
  spawn: Spawn;
} = {
  ...node,
  exec,
  execFile,
  fork,
  spawn,
};
export default shape;

export type * from 'node:child_process';
export type { CgroupOptions, CgroupUsage } from './cgroup-types.js';
export type { Exec, ExecFile, Fork, Spawn } from './child-process/signatures.js';
export type { ContainmentOptions, Stoppable, StoppableChild } from './child-process/types.js';
export type {
  Containment,
  Isolation,
  PrivilegedKiller,
  StepRecord,
  Survivor,
  TeardownCause,
  TeardownOptions,
  TeardownReport,
  TeardownStep,
} from './types.js';
export { shape as 'module.exports' };
