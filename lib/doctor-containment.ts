import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ProcessGroupError } from './errors.js';
import { guardianOrigin } from './guardian-path.js';
import { spawn } from './spawn.js';
import type { Containment, SpawnOptions } from './types.js';

export interface ContainmentCheck {
  name: Containment;
  available: boolean;
  why: string;
  /** What to change where it is not available, or null where nothing is known. */
  fix: string | null;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

const seccomp = (): boolean => /^Seccomp:\s*2$/m.test(read('/proc/self/status'));
const inContainer = (): boolean =>
  read('/proc/1/comm') !== 'systemd' && / \/proc\/\S+ /.test(read('/proc/self/mountinfo'));

/** The switches that distributions and containers have for what was refused. */
function fixNamespace(error: ProcessGroupError): string | null {
  if (error.path === '/proc') {
    return 'a container hides parts of /proc: run it with --security-opt systempaths=unconfined, or as root of its own user namespace';
  }
  if (read('/proc/sys/kernel/unprivileged_userns_clone') === '0') return 'sysctl kernel.unprivileged_userns_clone=1';
  if (read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for node with 'userns,'";
  }
  if (error.code === 'ENOSPC' || read('/proc/sys/user/max_user_namespaces') === '0') {
    return 'sysctl user.max_user_namespaces and user.max_pid_namespaces must leave room';
  }
  if (error.code === 'EINVAL' || error.code === 'ENOSYS') return 'a kernel with CONFIG_PID_NS and CONFIG_USER_NS';
  if (seccomp()) {
    return 'a seccomp filter refuses clone with namespaces: allow it (docker run --security-opt seccomp=FILE), or grant CAP_SYS_ADMIN';
  }
  return error.code === 'EPERM' ? 'run with CAP_SYS_ADMIN, or where unprivileged user namespaces are allowed' : null;
}

function fixCgroup(error: ProcessGroupError): string | null {
  if (error.syscall === 'mountinfo') {
    return 'mount the v2 hierarchy: boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup';
  }
  if (error.code === 'EROFS' || /^EACCES|^EPERM/.test(error.code) || error.syscall === 'access') {
    if (inContainer())
      return 'a container mounts /sys/fs/cgroup read-only: run it with --cgroupns=private and a writable mount';
    return 'have a cgroup delegated: a systemd unit with Delegate=yes, or systemd-run --user --scope -p Delegate=yes';
  }
  return null;
}

/** Which limits a leaf may have: the controllers of the directory that it goes below. */
function controllers(cgroupPath: string | null): string {
  const names = cgroupPath === null ? '' : read(`${dirname(cgroupPath)}/cgroup.controllers`);
  return names === '' ? 'no limits: no controller is delegated' : `limits: ${names}`;
}

/** `leader` and `group` need no guardian: its refusal is for the others to tell. */
function origin(): ReturnType<typeof guardianOrigin> | null {
  try {
    return guardianOrigin();
  } catch {
    return null;
  }
}

async function attempt(name: Containment): Promise<ContainmentCheck> {
  const options: SpawnOptions = { containment: name, stdio: 'ignore' };
  try {
    const guardian = origin();
    const group = await spawn(guardian?.path ?? process.execPath, ['--version'], options);
    const [{ code }, report] = await Promise.all([group.exited, group.gone]);
    if (code !== 0 || !report.empty) return { name, available: false, why: `a trial ended with ${code}`, fix: null };
    const { cgroupPath, namespaces } = group.mechanism;
    const why = {
      leader: 'works everywhere',
      group:
        group.mechanism.groupSignal === 'pidfd-group'
          ? 'pinned by the leader’s pidfd'
          : 'pinned by the unreaped leader',
      tree: `a guardian, subreaper of all descendants${guardian?.from === 'memory' ? `; the addon's own copy, in memory: ${guardian.why}` : ''}`,
      cgroup: `below ${cgroupPath && dirname(cgroupPath)}; ${controllers(cgroupPath)}`,
      namespace: namespaces.includes('user')
        ? 'with a user namespace: setuid programs are inert in it, foreign owners show as nobody'
        : 'a PID namespace, as root',
    }[name];
    return { name, available: true, why, fix: null };
  } catch (error) {
    if (!(error instanceof ProcessGroupError)) throw error;
    const why = error.message
      .replace(/^spawn [^:]*: containment '\w+': /, '')
      .replace(' (procgroup doctor tells why)', '');
    const fix = name === 'namespace' ? fixNamespace(error) : name === 'cgroup' ? fixCgroup(error) : null;
    return { name, available: false, why, fix };
  }
}

/** Whether each containment works here, by trying it with a program that ends at once; nothing is left of the trials. */
export async function checkContainments(): Promise<ContainmentCheck[]> {
  const checks: ContainmentCheck[] = [];
  for (const name of ['leader', 'group', 'tree', 'cgroup', 'namespace'] as const) checks.push(await attempt(name));
  return checks;
}
