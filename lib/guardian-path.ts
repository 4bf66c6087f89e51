import { ProcessGroupError } from './errors.js';
import { binding, errorName } from './native.js';
import { binaryPlaces } from './package-files.js';
import { testSwitch } from './test-switch.js';

const NAME = 'procgroup-guardian';

/** What stands for the copy that the addon carries, in place of a path. */
const CARRIED = '';

/** Of the guardian's file, why the first that was looked for cannot be used. */
let refused: string | undefined;
let found: string | undefined;
let carried = -1;

/**
 * The guardian that trees are started with: of a build from source, else of this platform's prebuilt files, else, as an empty
 * string, the addon's own copy in memory, where no file is there or none may be executed (an archive, a bundle, a lost exec
 * bit, a noexec mount). Throws ERR_GUARDIAN_REFUSED where that may not be executed either, ERR_UNSUPPORTED_PLATFORM.
 */
export function guardianPath(): string {
  const override = testSwitch('GUARDIAN');
  if (override) return override;
  found ??= find();
  return found;
}

function find(): string {
  const native = binding();
  for (const place of binaryPlaces(NAME, [NAME])) {
    const errno = native.executable(place);
    if (errno >= 0) return place;
    refused ??= `${place}: ${errorName(errno)}`;
  }
  carried = native.carryGuardian();
  if (carried >= 0) return CARRIED;
  const code = errorName(carried);
  throw new ProcessGroupError(
    `no guardian can be started (${refused}), nor one from memory: memfd_create ${code}` +
      (code === 'EACCES' ? '; the sysctl vm.memfd_noexec forbids it' : ''),
    { code: 'ERR_GUARDIAN_REFUSED', errno: carried, syscall: 'memfd_create', stage: 'guardian' },
  );
}

/** As guardianPath, to be started as a program of its own, in this PID namespace. */
export function guardianProgram(): string {
  return guardianPath() || `/proc/${process.pid}/fd/${carried}`;
}

/** For the report on this machine: the file, or that there is none and why. */
export function guardianOrigin(): { from: 'file' | 'memory'; path: string | null; why: string | null } {
  const path = guardianPath();
  if (path === CARRIED) return { from: 'memory', path: null, why: refused ?? null };
  return { from: 'file', path, why: null };
}
