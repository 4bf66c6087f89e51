import { AbortError, ProcessGroupError } from './errors.js';
import { guardianProgram } from './guardian-path.js';
import { onlyKnown } from './known-options.js';
import { output } from './output.js';
import { invalidValue, oneOf, path, record } from './validate.js';

/** Options of sweep(). */
export interface SweepOptions {
  /** Where to look, in the directory and below it (default: where a leaf of our own would be made). */
  parent?: string | URL;
  /** 'reap' ends who is left in an abandoned cgroup, and removes it (default); 'list' only tells. */
  mode?: 'reap' | 'list';
  signal?: AbortSignal;
}

/** A cgroup that carries procgroup's name. */
export interface Leftover {
  path: string;
  /** The supervisor that it was made for: pid and start time (clock ticks after boot), in its own PID namespace. */
  ownerPid: number;
  ownerStartTime: number;
  /** Live processes that were found in it. */
  processes: number;
  /**
   * 'in-use': its guardian or its supervisor lives, or we are in it ourselves. 'abandoned': neither does. 'reaped': it was abandoned, and is gone.
   * 'failed': it was abandoned, and could not be removed. 'foreign': the owner is of a PID namespace that cannot be seen
   * from here, so nobody can say whether it lives; left alone.
   */
  state: 'reaped' | 'abandoned' | 'in-use' | 'foreign' | 'failed';
  /** Error code, for 'failed'. */
  error: string | null;
}

/**
 * Finds cgroups of containment 'cgroup' that an earlier process left behind: its guardian and its supervisor were killed
 * together. Rejects with ERR_SWEEP where the directory cannot be read or no cgroup v2 hierarchy is ours,
 * ERR_GUARDIAN_REFUSED, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, AbortError.
 */
export async function sweep(options: SweepOptions = {}): Promise<Leftover[]> {
  const given: SweepOptions = record('options', options);
  onlyKnown('options', given, { parent: true, mode: true, signal: true });
  const { signal } = given;
  const mode = oneOf('options.mode', given.mode, ['reap', 'list'] as const, 'reap');
  const parent = given.parent === undefined ? undefined : path('options.parent', given.parent);
  if (parent !== undefined && !parent.startsWith('/'))
    throw invalidValue('options.parent', 'must be an absolute path', parent);
  const args = [
    '--sweep',
    '--json',
    ...(mode === 'list' ? ['--list'] : []),
    ...(parent === undefined ? [] : ['--', parent]),
  ];
  const { code, stdout, stderr } = await output(guardianProgram(), args, {
    containment: 'leader',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBytes: 64 << 20,
    ...(signal === undefined ? {} : { signal }),
  });
  if (code !== 0 && code !== 1) {
    if (signal?.aborted) throw new AbortError(signal.reason);
    const why = stderr.trim().replace(/^procgroup sweep: /, '') || `ended with ${code}`;
    throw new ProcessGroupError(`sweep: ${why}`, { code: 'ERR_SWEEP', stage: 'sweep' });
  }
  return (JSON.parse(stdout) as { leaves: Leftover[] }).leaves;
}
