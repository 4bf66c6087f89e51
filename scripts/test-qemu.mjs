// Tests of the containments that the kernel keeps, on a kernel of their own under qemu-system: one where cgroup v2 is alone
// and has every controller, as on most machines, and older than the host's may be. Ends in the counts; says why and exits
// with 0 where the machine lacks qemu-system, cpio, gzip, a static busybox, or a kernel (--kernel, else Debian's package).
// Usage: npm run test:qemu -- [--kernel VMLINUZ] [--busybox FILE] [--memory MIB] [--accelerator kvm|tcg] [test files]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './ensure-built.mjs';
import { install, layOut, pack, whyNoImage } from './qemu/image.mjs';
import { boot, fetchKernel, whyNoMachine } from './qemu/machine.mjs';
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

function skip(reason) {
  console.log(`test:qemu: skipped, ${reason}`);
  console.log('0 passed, 0 failed, all skipped');
  process.exit(0);
}

const reason = whyNoMachine(arch) || whyNoImage(values.busybox);
if (reason) skip(reason);
await ensureBuilt();
const files =
  positionals.length > 0
    ? positionals
    : readdirSync(join(root, 'test'))
        .filter((name) => /^(cgroup-|contained-|namespace|strongest|guardian-cli-contained).*\.test\.ts$/.test(name))
        .map((name) => `test/${name}`);

/** The real ones, where the tests use what busybox's lack. */
const PROGRAMS = ['setpriv', 'unshare', 'nsenter', 'prlimit', 'timeout', 'bash', 'setsid', 'sleep', 'env'];

function addPrograms(image) {
  install(image, process.execPath);
  for (const name of PROGRAMS) {
    const path = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    if (!path.startsWith('/')) continue;
    for (const place of ['/bin', '/usr/bin']) rmSync(join(image, place, name), { force: true });
    install(image, path);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'procgroup-qemu-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
]) {
  process.once(signal, () => process.exit(128 + number));
}

let kernel = values.kernel;
try {
  kernel ??= fetchKernel(arch, folder);
} catch (error) {
  skip(`no kernel: ${error.message}`);
}
const image = join(folder, 'root');
const scale = process.env.PROCGROUP_TEST_SCALE;
layOut({
  image,
  busybox: values.busybox,
  addPrograms,
  commands: [
    ...(scale ? [`export PROCGROUP_TEST_SCALE=${Number(scale)}`] : []),
    'echo "kernel $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"',
    'export PROCGROUP_RESULTS=/tmp/results PROCGROUP_RESULTS_LABEL="$(uname -r)"',
    `node node_modules/vitest/vitest.mjs run ${files.join(' ')}`,
    'echo "STATUS=$?"',
    'echo "RESULTS=$(cat /tmp/results)"',
  ],
});
const archive = join(folder, 'initrd.gz');
pack(image, archive);
rmSync(image, { recursive: true });
console.log(`${basename(kernel)}, ${files.length} test files`);
const output = await boot({
  arch,
  kernel,
  initrd: archive,
  memoryMib: Number(values.memory),
  accelerator: values.accelerator,
});
const [, status] = /^STATUS=(\d+)$/m.exec(output) ?? [];
const [, results] = /^RESULTS=(\{.*\})$/m.exec(output) ?? [];
const counts = results ? JSON.parse(results) : { label: 'qemu', passed: 0, failed: 1, skipped: 0 };
process.exitCode = summarise([{ ...counts, failed: status === '0' ? counts.failed : Math.max(counts.failed, 1) }]);
