import type { CgroupPlan } from '../cgroup.js';
import type { Killer } from '../native.js';
import { planSpawn } from '../options.js';
import type { Containment, Isolation, SpawnOptions, StdioEntry as StdioOption } from '../types.js';
import { bare } from '../validate.js';
import { place } from './call.js';
import type { HandleRequest, StdioEntry } from './node-shape.js';
import type { ContainmentOptions } from './types.js';

export interface HandlePlan {
  isolation: Isolation;
  containment: Containment;
  numbers: number[];
  killer: Killer | null;
  guardian: string | null;
  cgroup: CgroupPlan | null;
}

/** Index of `held` in the numbers of a spawn. */
const HELD = 4;

/** What ChildProcess made of an entry, as an entry of ours. */
function entry({ type, fd, handle }: StdioEntry): StdioOption {
  switch (type) {
    case 'ignore':
      return 'ignore';
    case 'pipe':
    case 'overlapped':
      return 'pipe';
    case 'wrap':
      return (handle?.fd ?? -1) | 0;
    default: // inherit, fd
      return (fd ?? -1) | 0;
  }
}

const usual = new Map<string, HandlePlan>();

/** Throws the errors of spawn() for options of ours. null for what a system call answers with EINVAL: a descriptor or uid that cannot be one. */
export function planHandle(request: HandleRequest, own: ContainmentOptions | undefined): HandlePlan | null {
  const stdio = request.stdio.map(entry);
  if (stdio.some((one) => typeof one === 'number' && one < 0)) return null;
  if ((request.uid ?? 0) === -1 || (request.gid ?? 0) === -1) return null;
  if (own !== undefined || process.env.PROCGROUP_CONTAINMENT || stdio.length > 8) return plan(request, own, stdio);
  const key = `${request.detached} ${stdio.join()}`;
  let known = usual.get(key);
  if (known === undefined) {
    known = plan(request, undefined, stdio);
    if (usual.size < 64) usual.set(key, known);
  }
  return known;
}

function plan(request: HandleRequest, own: ContainmentOptions | undefined, stdio: StdioOption[]): HandlePlan {
  const options = bare<SpawnOptions>({
    ...place(own, request.detached),
    env: bare({}),
    stdio,
    strayFds: 'inherit',
  });
  if (options.containment !== 'leader' && options.containment !== 'group') {
    if (request.uid != null) options.uid = request.uid;
    if (request.gid != null) options.gid = request.gid;
    // uv_spawn drops the supplementary groups with either, where it may.
    if ((request.uid != null || request.gid != null) && process.geteuid?.() === 0) options.groups = [];
  }
  const { isolation, containment, numbers, killer, guardian, cgroup } = planSpawn('x', [], options);
  if (containment === 'leader') numbers[HELD] = 0; // lives on when this process ends, as Node's own
  return { isolation, containment, numbers, killer, guardian, cgroup };
}
