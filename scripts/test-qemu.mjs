// Tests of the containments that the kernel keeps, on a kernel of their own under qemu-system: one where cgroup v2 is alone
// and has every controller, as on most machines, and older than the host's may be. Ends in the counts; says why and exits
// with 0 where the machine lacks qemu-system, cpio, a static busybox, or what fetches Debian's kernel (--kernel names another).
// Usage: npm run test:qemu -- [--kernel VMLINUZ] [--busybox FILE] [--memory MIB] [--accelerator kvm|tcg] [test files]
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { downloadsIn, withFolder } from './downloads.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { missing, skip } from './other-machine.mjs';
import { install, layOut, whyNoImage } from './qemu/image.mjs';
import { boot, debianKernel, machineNeeds, pack, suiteResult } from './qemu/machine.mjs';
import { root, summarise } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string' },
    busybox: { type: 'string', default: '/bin/busybox' },
    memory: { type: 'string', default: '3000' },
    accelerator: { type: 'string', default: 'auto' },
  },
});
const arch = process.arch;
const files =
  positionals.length > 0
    ? positionals
    : readdirSync(join(root, 'test'))
        .filter((name) => /^(cgroup-|contained-|namespace|strongest|guardian-cli-contained).*\.test\.ts$/.test(name))
        .map((name) => `test/${name}`);

/** The real ones, where the tests use what busybox's lack: its shell, that it prefers its own applets to them. */
const PROGRAMS = [
  'sh',
  'nohup',
  'setpriv',
  'unshare',
  'nsenter',
  'prlimit',
  'timeout',
  'bash',
  'setsid',
  'sleep',
  'env',
];

function addPrograms(image) {
  install(image, process.execPath);
  for (const name of PROGRAMS) {
    const path = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    if (!path.startsWith('/')) continue;
    for (const place of ['/bin', '/usr/bin']) install(image, path, join(place, name));
  }
}

async function test(folder) {
  const kernel = values.kernel ?? debianKernel(downloadsIn(folder), arch).kernel;
  const image = join(folder, 'root');
  const label = `kernel of ${basename(kernel)}`;
  const named = ['PROCGROUP_TEST_SCALE', 'PROCGROUP_TEST_SLOWNESS'].filter((name) => process.env[name]);
  layOut({
    image,
    busybox: values.busybox,
    addPrograms,
    environment: {
      ...Object.fromEntries(named.map((name) => [name, process.env[name]])),
      NO_COLOR: '1',
      PROCGROUP_RESULTS: '/tmp/results',
      PROCGROUP_RESULTS_LABEL: label,
    },
    command: `cat /sys/fs/cgroup/cgroup.controllers && node node_modules/vitest/vitest.mjs run ${files.join(' ')}`,
  });
  const initrd = join(folder, 'initrd');
  pack([image], initrd);
  rmSync(image, { recursive: true });
  console.log(`${label}, ${files.length} test files`);
  const { memory, accelerator } = values;
  const lines = await boot({ arch, kernel, initrd, memoryMiB: Number(memory), accelerator });
  return summarise([suiteResult(label, lines)]);
}

const needs = machineNeeds(arch);
const lacking = missing(values.kernel ? { programs: needs.programs.slice(0, 2) } : needs);
const reason = lacking ? `${lacking} is missing` : whyNoImage(values.busybox);
if (reason) {
  skip('test:qemu', reason);
} else {
  await ensureBuilt();
  process.exitCode = await withFolder('qemu', test);
}
