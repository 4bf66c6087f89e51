// A virtual machine of one architecture under qemu-system: its kernel (a package of Debian's), and a run of it from an
// initramfs to its end. For every script that needs a kernel of its own; scripts/qemu/image.mjs makes the initramfs.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * By process.arch. `debian`: the architecture as Debian names it; `kernel`: the package that depends on its newest kernel
 * with a serial console, an initramfs and cgroup v2 built in.
 */
export const MACHINES = {
  x64: {
    qemu: 'qemu-system-x86_64',
    debian: 'amd64',
    kernel: 'linux-image-cloud-amd64',
    console: 'ttyS0',
    args: ['-cpu', 'max,arch-capabilities=off'] /* an old qemu cannot set it under a nested KVM */,
  },
  arm64: {
    qemu: 'qemu-system-aarch64',
    debian: 'arm64',
    kernel: 'linux-image-arm64',
    console: 'ttyAMA0',
    args: ['-M', 'virt', '-cpu', 'cortex-a72'],
  },
};

const works = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Why no machine of that architecture can be run here, or ''. */
export function whyNoMachine(arch) {
  const missing = [MACHINES[arch].qemu, 'cpio', 'gzip'].filter((program) => !works(program));
  return missing.length === 0 ? '' : `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`;
}

function text(file, args) {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/**
 * Downloads Debian's kernel into `folder` and gives the path of its image. Nothing is installed. For another architecture
 * than the host's, `dpkg --add-architecture` and `apt-get update` must have made its packages known.
 */
export function fetchKernel(arch, folder) {
  const { kernel, debian } = MACHINES[arch];
  const [, depended] =
    /^ *Depends: (linux-image-\S+)/m.exec(text('apt-cache', ['depends', `${kernel}:${debian}`])) ?? [];
  if (!depended) throw new Error(`apt knows no kernel by the name of ${kernel}:${debian}`);
  const name = `${depended.replace(/:\w+$/, '')}:${debian}`;
  const got = spawnSync('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', name], {
    cwd: folder,
    encoding: 'utf8',
  });
  const file = readdirSync(folder).find((entry) => /^linux-image-.*\.deb$/.test(entry));
  if (got.status !== 0 || !file) throw new Error(`apt-get download ${name}: ${got.stderr.trim()}`);
  text('sh', [
    '-c',
    `dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './boot/vmlinuz-*'`,
    'sh',
    join(folder, file),
    folder,
  ]);
  const image = readdirSync(join(folder, 'boot')).find((entry) => entry.startsWith('vmlinuz-'));
  return join(folder, 'boot', image);
}

/** What /init of scripts/qemu/image.mjs prints first. */
export const STARTED = 'procgroup: init';
const KVM_PATIENCE_MS = 30_000;

async function bootWith(accelerator, { arch, kernel, initrd, memoryMib = 3000, cpus = 2, timeoutMs = 30 * 60_000 }) {
  const machine = MACHINES[arch];
  const child = spawn(
    machine.qemu,
    [
      ...machine.args,
      ...['-accel', accelerator, '-smp', String(cpus), '-m', String(memoryMib)],
      ...['-nographic', '-nic', 'none', '-no-reboot', '-kernel', kernel, '-initrd', initrd],
      ...['-append', `console=${machine.console} quiet panic=-1`],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text.replaceAll('\r', '');
    process.stdout.write(text);
  });
  const kill = () => child.kill('SIGKILL');
  const timer = setTimeout(kill, timeoutMs);
  const started = () => output.includes(STARTED);
  const patience = accelerator === 'kvm' ? setTimeout(() => started() || kill(), KVM_PATIENCE_MS) : undefined;
  process.once('exit', kill);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  clearTimeout(patience);
  process.removeListener('exit', kill);
  return { output, started: started(), end: signal ?? code };
}

/**
 * Boots, prints the machine's console, and resolves with all of it once the machine has powered itself off. Rejects where it
 * ends otherwise, or has not ended after `timeoutMs` (default 30 minutes; it is killed then). `accelerator`: 'kvm', 'tcg', or
 * 'auto': KVM where the host has it for this architecture and a machine does start by it, since a nested one may hang.
 */
export async function boot({ accelerator = 'auto', ...machine }) {
  const kvm = machine.arch === process.arch && existsSync('/dev/kvm');
  const ways = accelerator === 'auto' ? (kvm ? ['kvm', 'tcg'] : ['tcg']) : [accelerator];
  let result;
  for (const way of ways) {
    result = await bootWith(way, machine);
    if (result.started) break;
    console.log(`no machine started by ${way} (${result.end})`);
  }
  if (result.end !== 0) throw new Error(`${MACHINES[machine.arch].qemu} ended with ${result.end}`);
  return result.output;
}
