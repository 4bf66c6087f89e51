import { ProcessGroupError } from './errors.js';
import type { ExitResult } from './types.js';

/** A run that gave neither a value nor an error of its own. `code` says why: docs/errors.md lists the ERR_WORKLOAD_ codes. */
export class WorkloadError extends ProcessGroupError {
  /** How the process ended: code or signal. null where it never ran, or where nobody could end it. */
  readonly exit: ExitResult | null = null;
  /** The last of its stderr, where the option stderr is 'tail'. */
  readonly stderr: string = '';

  static {
    WorkloadError.prototype.name = 'WorkloadError';
  }
}

export function fault(code: string, message: string, more: { path?: string; cause?: unknown } = {}): WorkloadError {
  const { path, ...options } = more;
  return new WorkloadError(message, { code: `ERR_WORKLOAD_${code}`, ...(path === undefined ? {} : { path }) }, options);
}
