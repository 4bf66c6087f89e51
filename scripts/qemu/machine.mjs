// A virtual machine of one architecture under qemu-system: its kernel (a package of Debian's), its initramfs, and a run of it
// until it is off. For every script that needs a kernel of its own.
import { execFileSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';
import { debianFiles, debianNeeds, standsFor } from '../debian.mjs';

/**
 * By process.arch. `kernel`: Debian's package that stands for its newest kernel with a serial console, an initramfs and
 * cgroup v2 built in. Debian's older qemu cannot set arch-capabilities under a nested KVM.
 */
const MACHINES = {
  x64: {
    program: 'qemu-system-x86_64',
    debian: 'amd64',
    kernel: 'linux-image-cloud-amd64',
    console: 'ttyS0',
    args: ['-cpu', 'max,arch-capabilities=off'],
  },
  arm64: {
    program: 'qemu-system-aarch64',
    debian: 'arm64',
    kernel: 'linux-image-arm64',
    console: 'ttyAMA0',
    args: ['-M', 'virt', '-cpu', 'cortex-a72'],
  },
};
const RELEASE = 'bookworm';

/** What a machine of that architecture needs here: programs and files. */
export const machineNeeds = (arch) => ({
  ...debianNeeds,
  programs: [MACHINES[arch].program, 'cpio', 'find', ...debianNeeds.programs],
});

/** Debian's kernel for that architecture: the path of its image, and its package's name. Nothing is installed. */
export function debianKernel(downloads, arch) {
  const { debian, kernel } = MACHINES[arch];
  const from = { release: RELEASE, arch: debian };
  const name = standsFor(downloads, from, kernel, /linux-image-\d\S*/);
  const boots = join(debianFiles(downloads, { ...from, paths: ['./boot'] }, [name]), 'boot');
  return {
    kernel: join(
      boots,
      readdirSync(boots).find((file) => file.startsWith('vmlinuz-')),
    ),
    name,
  };
}

/** An initramfs of folders, each of which is laid over those before it. Not compressed: to unpack it would take longer. */
export function pack(folders, archive) {
  writeFileSync(archive, '');
  const out = openSync(archive, 'a');
  for (const folder of folders) {
    // The whole of Node in one pipe of the shell, rather than in our memory.
    const list = 'find . -print0 | cpio --null --create --format=newc --quiet --owner=0:0';
    execFileSync('sh', ['-ec', list], { cwd: folder, stdio: ['ignore', out, 'inherit'] });
  }
  closeSync(out);
}

const STARTED = 'procgroup: init';

/**
 * What init does before and after `command`, a line of shell: the file systems that the suite expects, cgroup v2 alone among
 * them. Prints TEST-RC=status. init is not the command itself: tests look at their own children and at who adopts orphans.
 */
export const init = (environment, command) => `#!/bin/sh
echo '${STARTED}'
export ${Object.entries(environment)
  .map(([name, value]) => `${name}='${value}'`)
  .join(' ')}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
for i in stdin:0 stdout:1 stderr:2; do ln -s /proc/self/fd/\${i#*:} /dev/\${i%:*}; done
busybox ip link set lo up
hostname procgroup-test
uname -srm
setsid sh -c '${command}' < /dev/null
echo "TEST-RC=$?"
busybox poweroff -f
`;

function usable(device) {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const KVM_PATIENCE_MS = 30_000;

async function bootBy(accelerator, machine) {
  const {
    arch,
    kernel,
    initrd,
    memoryMiB = 3_000,
    cpus = 2,
    timeoutMs = 7_200_000,
    environment = {},
    prefix = '',
  } = machine;
  const kind = MACHINES[arch];
  // The kernel hands what it does not know on to init.
  const words = Object.entries(environment).map(([name, value]) => ` ${name}=${value}`);
  const args = [
    ...[...kind.args, '-accel', accelerator, '-smp', String(cpus), '-m', String(memoryMiB)],
    ...['-nographic', '-nic', 'none', '-no-reboot', '-kernel', kernel, '-initrd', initrd],
    ...['-append', `console=${kind.console} quiet panic=-1${words.join('')}`],
  ];
  // Ours, once it is built: the machine ends with us, also where a signal ends us.
  const { spawn } = await import('../../dist/child-process.js');
  const qemu = spawn(kind.program, args, { stdio: ['ignore', 'pipe', 'inherit'], containment: 'tree' });
  const ended = new Promise((resolve, reject) => {
    qemu.once('exit', resolve).once('error', reject);
  });
  const end = () => qemu.kill('SIGKILL');
  const timer = setTimeout(() => {
    console.error(`the machine is ended after ${timeoutMs / 1000} s`);
    end();
  }, timeoutMs);
  const patience = accelerator === 'kvm' ? setTimeout(end, KVM_PATIENCE_MS) : undefined;
  const lines = [];
  let started = false;
  try {
    for await (const line of createInterface({ input: qemu.stdout })) {
      const text = stripVTControlCharacters(line).replace(/\r$/, '');
      if (text.includes(STARTED)) {
        started = true;
        clearTimeout(patience);
      }
      lines.push(text);
      console.log(`${prefix}${text}`);
    }
    await ended;
  } finally {
    clearTimeout(timer);
    clearTimeout(patience);
    end();
  }
  return { lines, started };
}

/**
 * Boots; prints the console and gives its lines once the machine is off. One that takes longer is ended. `accelerator`: 'kvm',
 * 'tcg', or 'auto': KVM where the host has it for this architecture and a machine does start by it, since a nested one may hang.
 * init gets `environment`, and each line is printed behind `prefix`.
 */
export async function boot({ accelerator = 'auto', ...machine }) {
  const kvm = machine.arch === process.arch && usable('/dev/kvm');
  const ways = accelerator === 'auto' ? (kvm ? ['kvm', 'tcg'] : ['tcg']) : [accelerator];
  let result;
  for (const way of ways) {
    result = await bootBy(way, machine);
    if (result.started) break;
    console.error(`no machine started by ${way}`);
  }
  return result.lines;
}

/** What a run of the suite in the machine came to, by what its reporter and init have printed. */
export function suiteResult(label, lines) {
  const counts = lines.map((line) => /^(.+): (\d+) passed, (\d+) failed, (\d+) skipped$/.exec(line)).find(Boolean);
  const status = lines.map((line) => /^TEST-RC=(\d+)$/.exec(line)?.[1]).find(Boolean);
  if (!counts) return { label, passed: 0, failed: 1, skipped: 0 };
  const [passed, failed, skipped] = counts.slice(2).map(Number);
  return { label, passed, failed: status === '0' ? failed : Math.max(failed, 1), skipped };
}
