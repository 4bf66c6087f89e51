/** Where the leaf of a containment 'cgroup' goes, and its limits. cgroups(7), Documentation/admin-guide/cgroup-v2.rst. */
export interface CgroupOptions {
  /**
   * Absolute path of the directory below which the leaf is made. Default: our own cgroup, or, where limits need controllers
   * that it cannot hand down, the nearest one above it that is delegated to us too.
   */
  parent?: string | URL;
  /**
   * A cgroup that holds processes cannot hand controllers down to a leaf. 'move': where our own is in the way of limits, this
   * process goes into a cgroup of its own below it first, and stays there; others that are in it are in the way all the
   * same. Default 'stay': such limits are refused with EBUSY.
   */
  supervisor?: 'stay' | 'move';
  /** memory.max, in bytes: beyond it the kernel kills a member. */
  memoryMaxBytes?: number;
  /** memory.high, in bytes: beyond it members are slowed down and reclaimed from. */
  memoryHighBytes?: number;
  /** memory.swap.max, in bytes. */
  memorySwapMaxBytes?: number;
  /** pids.max, in processes and threads: beyond it fork(2) answers EAGAIN. */
  pidsMax?: number;
  /** cpu.max, in processors (1.5 is 150 ms in each 100 ms). */
  cpuMaxCores?: number;
  /** cpu.weight, 1 ... 10,000 (the kernel's default is 100). */
  cpuWeight?: number;
  /** io.weight, 1 ... 10,000 (the kernel's default is 100). */
  ioWeight?: number;
  /** Other limits: files of the leaf and what is written to them, { 'hugetlb.2MB.max': '0' }. Of cgroup.*, cgroup.max.* alone. */
  files?: { readonly [name: string]: string };
}

/** A limit that a member has run into: 'memory' (it was killed for it), 'pids' (a fork was refused). */
export type LimitName = 'memory' | 'pids';

/** What the kernel has counted for a cgroup; null where its controller is not there. Times in microseconds. */
export interface CgroupUsage {
  /** memory.current and, since Linux 5.19, memory.peak. */
  memoryBytes: number | null;
  memoryPeakBytes: number | null;
  /** pids.current and, since Linux 6.1, pids.peak. */
  pids: number | null;
  pidsPeak: number | null;
  /** cpu.stat. */
  userCPUTime: number | null;
  systemCPUTime: number | null;
  /** io.stat, all devices. */
  ioReadBytes: number | null;
  ioWriteBytes: number | null;
  /** oom_kill of memory.events: members killed for the memory limit. */
  oomKills: number | null;
  /** max of pids.events: forks that were refused. */
  pidsRefused: number | null;
}
