// What the suite needs on a machine that can neither build nor install: its programs, its dependencies, its files.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { once } from './downloads.mjs';
import { ADDON, checksumOf, checksums, GUARDIAN, NAMES, prebuilds, readChecksums, sourcesHash } from './prebuilds.mjs';
import { root, run } from './support.mjs';
import { zigEnvironment } from './zig.mjs';

/** The first of these programs and files that is not here, or undefined. */
export function missing({ programs = [], files = [] }) {
  return [
    ...programs.filter((name) => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name]).status !== 0),
    ...files.filter((path) => !existsSync(path)),
  ][0];
}

/** Says what is missing, in the counts too: a run that did not happen has neither passed nor failed. */
export function skip(label, why) {
  console.log(`skipped: ${label}: ${why}`);
  console.log('0 passed, 0 failed, 1 skipped');
}

const ZIG_TARGET = {
  arm64: ['aarch64-linux-musl', 'aarch64-linux-gnu.2.36'],
  x64: ['x86_64-linux-musl', 'x86_64-linux-gnu.2.36'],
};

/**
 * The tests' C programs, as test/support/global-setup.ts names them. Static, since exec is cheaper then, but for those that want
 * glibc and for the shared objects.
 */
export function compileActors(zig, arch, folder) {
  mkdirSync(folder, { recursive: true });
  const [musl, glibc] = ZIG_TARGET[arch];
  const sources = join(root, 'test/support/native');
  const env = zigEnvironment();
  for (const name of readdirSync(sources).filter((file) => file.endsWith('.c'))) {
    const common = ['-O1', '-std=gnu11', '-pthread', '-fno-sanitize=all', '-s'];
    const output = ['-o', join(folder, name.slice(0, -2)), join(sources, name)];
    const compile = (...how) =>
      spawnSync(zig, ['cc', '-target', ...how, ...common, ...output], { env, encoding: 'utf8' });
    const shared = name.endsWith('.so.c');
    if (!shared && compile(musl, '-static').status === 0) continue;
    const { status, stderr } = compile(glibc, ...(shared ? ['-shared', '-fPIC'] : []));
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
  }
}

/** A folder with a node_modules as package-lock.json has it for that platform. */
export function modulesFor(downloads, arch, libc) {
  const files = ['package.json', 'package-lock.json'];
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
    .slice(0, 12);
  return once(downloads, `modules-${arch}-${libc}-${hash}`, (folder) => {
    console.log(`installing the development dependencies for ${arch} ${libc}`);
    for (const name of files) copyFileSync(join(root, name), join(folder, name));
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
    execFileSync('npm', ['ci', `--cpu=${arch}`, '--os=linux', `--libc=${libc}`, ...quiet], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (const name of files) rmSync(join(folder, name));
  });
}

/** Builds the binaries of that architecture for release, unless they are there and of these sources. */
export function ensurePrebuilt(arch) {
  const known = existsSync(checksums) ? readChecksums() : { files: {} };
  const current = NAMES.map((name) => `linux-${arch}/${name}`).every((name) => {
    const sum = known.files[name];
    return sum !== undefined && sum.sha256 === checksumOf(name)?.sha256;
  });
  if (current && known.sources === sourcesHash()) return;
  if (run(process.execPath, [join(root, 'scripts/prebuild.mjs'), arch]) !== 0) throw new Error('prebuild.mjs failed');
}

/** What the suite reads of the repository. */
const SUITE = ['package.json', 'vitest.config.ts', 'tsconfig.json', 'tsconfig.test.json', 'README.md', 'CHANGELOG.md'];
const FOLDERS = ['bench', 'bin', 'dist', 'docs', 'examples', 'lib', 'native', 'scripts', 'test'];

/** Copies the project for the suite, with the prebuilt binaries of that platform as if they had been built there. */
export function copyProject(project, arch, libc) {
  mkdirSync(join(project, 'build/Release'), { recursive: true });
  for (const name of [...SUITE, ...FOLDERS]) {
    const filter = (path) => !/[/](node_modules|[.]build)$/.test(path);
    cpSync(join(root, name), join(project, name), { recursive: true, verbatimSymlinks: true, filter });
  }
  const from = join(prebuilds, `linux-${arch}`);
  copyFileSync(join(from, ADDON[libc]), join(project, 'build/Release/addon.node'));
  copyFileSync(join(from, GUARDIAN), join(project, 'build/Release', GUARDIAN));
}
