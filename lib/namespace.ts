import { SpawnError } from './errors.js';
import type { Mechanism } from './types.js';

/** NamespacePart of native/core/child_containment.h, in its order: what was refused, and the file or call that it is about. */
const PARTS = [
  { what: 'the namespaces cannot be made', syscall: 'clone', path: undefined },
  { what: 'the uid cannot be mapped', syscall: 'write', path: '/proc/self/uid_map' },
  { what: 'the gid cannot be mapped', syscall: 'write', path: '/proc/self/gid_map' },
  { what: 'the mounts cannot be set apart', syscall: 'mount', path: '/' },
  { what: '/proc cannot be mounted', syscall: 'mount', path: '/proc' },
] as const;

/** Why a PID namespace could not be set up. `procgroup doctor` tells what to change. */
export function namespaceFailure(
  program: string,
  { code, errno, index }: { code: string; errno: number; index: number },
): SpawnError {
  const { what, syscall, path } = PARTS[index] ?? PARTS[0];
  return new SpawnError(`spawn ${program}: containment 'namespace': ${code}: ${what} (procgroup doctor tells why)`, {
    code,
    errno,
    syscall,
    stage: 'namespace',
    ...(path === undefined ? {} : { path }),
  });
}

export const namespacesMade = (user: boolean): Mechanism['namespaces'] =>
  user ? ['user', 'pid', 'mount'] : ['pid', 'mount'];
