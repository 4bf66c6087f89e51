import { ProcessGroupError } from './errors.js';
import type { Containment, SpawnOptions } from './types.js';

/** From the strongest on. `group` is what is left where the package has no guardian for this machine. */
const BY_STRENGTH: readonly Containment[] = ['namespace', 'cgroup', 'tree', 'group'];
/** A machine that is short of something for now has not refused the mechanism. */
const SHORTAGES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN']);

function refused(error: unknown): boolean {
  if (!(error instanceof ProcessGroupError) || SHORTAGES.has(error.code)) return false;
  return error.stage === 'namespace' || error.stage === 'cgroup' || error.code === 'ERR_GUARDIAN_REFUSED';
}

/**
 * Tries the containments from the strongest on, and gives what the first one gives that this machine grants. Limits are
 * kept by a cgroup alone; our own process group is not to be seen in a namespace, and is no containment.
 */
export async function strongest<T>(
  options: SpawnOptions,
  attempt: (containment: Containment) => Promise<T>,
): Promise<T> {
  const inherit = options.isolation === 'inherit';
  const candidates = BY_STRENGTH.filter((one) =>
    options.cgroup !== undefined ? one === 'cgroup' : !(inherit && (one === 'namespace' || one === 'group')),
  );
  for (const containment of candidates.slice(0, -1)) {
    try {
      return await attempt(containment);
    } catch (error) {
      if (!refused(error)) throw error;
    }
  }
  return attempt(candidates.at(-1) as Containment);
}
