import type { ChildProcess } from 'node:child_process';
import type { CgroupOptions } from '../cgroup-types.js';
import type { Containment, Isolation, TeardownOptions, TeardownReport } from '../types.js';

/**
 * What spawn, exec, execFile and fork of the drop-in take beside Node's own options. Without any of them, and without
 * PROCGROUP_CONTAINMENT in the environment, a child is what Node's own would be.
 */
export interface ContainmentOptions extends TeardownOptions {
  /**
   * Who goes down with the child (default: PROCGROUP_CONTAINMENT where it is set and `detached` is not, else 'leader': the
   * child alone, and only when asked). Everything but 'leader' ends with this process, however it ends.
   */
  containment?: Containment;
  /** Default 'session' where `detached` is true, 'group' under containment 'group' and 'namespace', else 'inherit'. setpgid(2), setsid(2). */
  isolation?: Isolation;
  /** Where the cgroup goes and what it is limited to, with containment 'cgroup'. What the machine refuses is an 'error' event with the errno. */
  cgroup?: CgroupOptions;
}

/** What a child of the drop-in can do beside what Node's own can. */
export interface Stoppable {
  /**
   * Tears down what belongs to the child by its containment, once; every caller gets the same report. Resolves also where
   * survivors remain, and for a child that never started.
   */
  stop(): Promise<TeardownReport>;
}

/** A child of the drop-in: Node's own, with stop(). */
export type StoppableChild<C = ChildProcess> = C & Stoppable;
