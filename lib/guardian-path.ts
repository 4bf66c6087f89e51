import { fs } from './builtins.js';
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
/** Of the file that was found. */
let identity = '';
let carried = -1;

/**
 * The guardian that trees are started with: of a build from source, else of this platform's prebuilt files, else, as an empty
 * string, the addon's own copy in memory, where no file is there or none may be executed (an archive, a bundle, a lost exec
 * bit, a noexec mount), or another file has come in its place (the package was installed again under this process: that one
 * is perhaps of another build). Throws ERR_GUARDIAN_REFUSED where that may not be executed either, ERR_UNSUPPORTED_PLATFORM.
 */
export function guardianPath(): string {
  const override = testSwitch('GUARDIAN');
  if (override) return override;
  if (found && identityOf(found) !== identity) distrustGuardian('replaced');
  found ??= find();
  return found;
}

function identityOf(file: string): string {
  try {
    const { dev, ino, ctimeMs } = fs().statSync(file); // its mode is of ctime too
    return `${dev} ${ino} ${ctimeMs}`;
  } catch {
    return '';
  }
}

/** What says of a file, not of this moment, that it is no guardian for us. */
const USELESS: ReadonlySet<string> = new Set(['EPROTO', 'ENOENT', 'ENOTDIR', 'EACCES', 'ENOEXEC']);

/** A spawn that was given this `path` has failed at stage 'guardian'. The next one is not given the same file. */
export function guardianFailed(path: string | null, code: string): void {
  if (path === found && USELESS.has(code)) distrustGuardian(code);
}

/** From now on the addon's own copy is started, where it may be executed. */
function distrustGuardian(why: string): void {
  if (!found) return;
  refused = `${found}: ${why}`;
  carried = binding().carryGuardian();
  found = carried >= 0 ? CARRIED : undefined;
}

function find(): string {
  const native = binding();
  for (const place of binaryPlaces(NAME, [NAME])) {
    const errno = native.executable(place);
    if (errno >= 0) {
      identity = identityOf(place);
      return place;
    }
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
