import { release } from 'node:os';
import { type ContainmentCheck, checkContainments } from './doctor-containment.js';
import { errorName, probe } from './native.js';

export interface KernelFeature {
  name: string;
  /** Linux version that has it. */
  since: string;
  available: boolean;
  /** Why the probing call was refused. */
  errno: string | null;
  usedFor: string;
  fallback: string;
}

export interface Capabilities {
  kernel: string;
  arch: string;
  node: string;
  features: KernelFeature[];
  containments: ContainmentCheck[];
}

/** Feature bits of native/core/kernel.h, in their order. */
const FEATURES: Omit<KernelFeature, 'available' | 'errno'>[] = [
  { name: 'clone3', since: '5.3', usedFor: 'spawning', fallback: 'clone' },
  {
    name: 'CLONE_PIDFD',
    since: '5.2',
    usedFor: "the leader's pidfd, from birth",
    fallback: 'pidfd_open while unreaped',
  },
  {
    name: 'PIDFD_SIGNAL_PROCESS_GROUP',
    since: '6.9',
    usedFor: 'a group signal that cannot hit a recycled pgid',
    fallback: 'the leader is kept a zombie',
  },
  {
    name: 'close_range',
    since: '5.9',
    usedFor: 'constant-cost spawns, closing stray descriptors',
    fallback: 'a copied table, /proc/self/fd',
  },
  { name: 'pidfd', since: '5.3', usedFor: 'exit notices, waiting for members', fallback: 'a waiting thread per child' },
  { name: 'waitid(P_PIDFD)', since: '5.4', usedFor: 'reaping', fallback: 'waitid(P_PID) of our own child' },
  {
    name: 'PIDFD_INFO_EXIT',
    since: '6.15',
    usedFor: 'the status of a child that somebody else reaped',
    fallback: "status 'unknown'",
  },
];

/** What this kernel grants, by real calls, and which containments work, by trying them; no process is left by it. */
export async function capabilities(): Promise<Capabilities> {
  const [bits = 0, ...errnos] = probe();
  return {
    kernel: release(),
    arch: process.arch,
    node: process.version,
    features: FEATURES.map((feature, bit) => ({
      ...feature,
      available: (bits & (1 << bit)) !== 0,
      errno: errnos[bit] ? errorName(-errnos[bit]) : null,
    })),
    containments: await checkContainments(),
  };
}
