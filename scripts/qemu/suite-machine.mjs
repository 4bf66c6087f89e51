// A kernel of one's own under qemu-system: an initramfs, and a boot that ends with what its init says.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const MACHINES = {
  x64: { program: 'qemu-system-x86_64', console: 'ttyS0', args: [], emulated: 'max' },
  arm64: { program: 'qemu-system-aarch64', console: 'ttyAMA0', args: ['-M', 'virt'], emulated: 'cortex-a72' },
};

/** The qemu of an architecture. */
export const qemuOf = (arch) => MACHINES[arch].program;

/** An initramfs of folders, each of which is laid over those before it. Not compressed: to unpack it would take longer. Needs cpio. */
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

/**
 * What init does before and after `command`, a line of shell: the file systems that the suite expects. Prints TEST-RC=status.
 * init is not the command itself, since the tests look at their own children and at who adopts orphans.
 */
export const init = (environment, command) => `#!/bin/sh
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
poweroff -f
`;

function usable(device) {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Boots; prints the console and gives its lines once the machine is off. A machine that takes longer is ended. */
export async function boot({ arch, kernel, initrd, memoryMiB = 3_000, cpus = 2, timeoutMs = 7_200_000 }) {
  const machine = MACHINES[arch];
  const accelerated = arch === process.arch && usable('/dev/kvm');
  const args = [
    ...[...machine.args, '-accel', accelerated ? 'kvm' : 'tcg', '-cpu', accelerated ? 'host' : machine.emulated],
    ...['-smp', String(cpus), '-m', String(memoryMiB), '-nographic', '-nic', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', `console=${machine.console} quiet panic=-1`],
  ];
  const qemu = spawn(machine.program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = () => qemu.kill('SIGKILL');
  process.once('exit', end);
  const timer = setTimeout(() => {
    console.error(`the machine is ended after ${timeoutMs / 1000} s`);
    end();
  }, timeoutMs);
  const exited = once(qemu, 'exit');
  const lines = [];
  try {
    for await (const line of createInterface({ input: qemu.stdout })) {
      const text = line.replace(/\r$/, '');
      lines.push(text);
      console.log(text);
    }
    await exited;
  } finally {
    clearTimeout(timer);
    process.removeListener('exit', end);
    end();
  }
  return lines;
}
