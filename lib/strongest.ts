import { ProcessGroupError } from './errors.js';
import { planSpawn } from './options.js';
import type { Containment, SpawnOptions } from './types.js';
import { bare } from './validate.js';

/** From the strongest on. `group` is what is left where the package has no guardian for this machine. */
const BY_STRENGTH: readonly Containment[] = ['namespace', 'cgroup', 'tree', 'group'];
/** A machine that is short of something for now has not refused the mechanism. */
const SHORTAGES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN']);

function refused(error: unknown): boolean {
  if (!(error instanceof ProcessGroupError) || SHORTAGES.has(error.code)) return false;
  return error.stage === 'namespace' || error.stage === 'cgroup' || error.code === 'ERR_GUARDIAN_REFUSED';
}

/**
 * What 'strongest' may become, from the strongest on. Limits are kept by a cgroup alone; our own process group is not to be
 * seen in a namespace, and is no containment.
 */
function candidatesFor({ isolation, cgroup }: SpawnOptions): readonly Containment[] {
  const inherit = isolation === 'inherit';
  return BY_STRENGTH.filter((one) =>
    cgroup !== undefined ? one === 'cgroup' : !(inherit && (one === 'namespace' || one === 'group')),
  );
}

/** Tries the candidates in turn, and gives what the first one gives that this machine grants. */
export async function strongest<T>(
  options: SpawnOptions,
  attempt: (containment: Containment) => Promise<T>,
): Promise<T> {
  const candidates = candidatesFor(options);
  for (const containment of candidates.slice(0, -1)) {
    try {
      return await attempt(containment);
    } catch (error) {
      if (!refused(error)) throw error;
    }
  }
  return attempt(candidates.at(-1) as Containment);
}

/** Refuses what spawn() would refuse before it starts anything. `options` has no prototype. */
export function checkSpawn(file: string, args: readonly string[], options: SpawnOptions): void {
  if (options.containment !== 'strongest') return void planSpawn(file, args, options);
  try {
    planSpawn(file, args, bare({ ...options, containment: candidatesFor(options)[0] as Containment }));
  } catch (error) {
    if (!refused(error)) throw error;
  }
}
