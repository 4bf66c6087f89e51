import { release } from 'node:os';
import { guardianPath } from './guardian-path.js';
import { binding, errorName } from './native.js';
import type { Containment } from './types.js';

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
  containments: { name: Containment; available: boolean; why: string }[];
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

function treeAvailable(): Capabilities['containments'][number] {
  try {
    guardianPath();
    return { name: 'tree', available: true, why: 'a guardian, subreaper of all descendants' };
  } catch {
    return { name: 'tree', available: false, why: 'the guardian executable is missing' };
  }
}

/** What this kernel grants, by real calls; no thread, process or descriptor is left by it. */
export function capabilities(): Capabilities {
  const [bits = 0, ...errnos] = binding().probe();
  return {
    kernel: release(),
    arch: process.arch,
    node: process.version,
    features: FEATURES.map((feature, bit) => ({
      ...feature,
      available: (bits & (1 << bit)) !== 0,
      errno: errnos[bit] ? errorName(-errnos[bit]) : null,
    })),
    containments: [
      { name: 'leader', available: true, why: 'works everywhere' },
      {
        name: 'group',
        available: true,
        why: bits & 4 ? 'pinned by the leader’s pidfd' : 'pinned by the unreaped leader',
      },
      treeAvailable(),
      { name: 'cgroup', available: false, why: 'not built yet' },
      { name: 'namespace', available: false, why: 'not built yet' },
    ],
  };
}
