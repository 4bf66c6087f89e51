// The suite, or the named files of it, on a Node that is linked with musl, and on the prebuilt addon for musl.
// A hack for tests alone, since no registry has such a Node: @pnpm/linuxstatic-x64 is a single executable application in one. A
// byte of it says that there is an application, and is changed; and since it wants a libstdc++ for musl, Debian's for glibc is
// put under it behind test/support/musl/libstdcxx.c. The dynamic loader finds both in a mount namespace of this run's own.
// Usage: npm run test:musl -- [test/name.test.ts ...]
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianFiles, debianNeeds } from './debian.mjs';
import { downloadsIn, npmPackage, withFolder } from './downloads.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { excluding } from './left-out.mjs';
import { copyProject, ensurePrebuilt, missing, modulesFor, skip } from './other-machine.mjs';
import { readResults, root, run, summarise } from './support.mjs';
import { zigEnvironment, zigPath } from './zig.mjs';

const NODE = '@pnpm/linuxstatic-x64@11.21.0'; // Node 26.0.0
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:';
const PATHS = '/etc/ld-musl-x86_64.path';
const LOADER = '/lib/ld-musl-x86_64.so.1';

/** That Node, without the application in it. */
function makeNode(downloads, place) {
  const bytes = readFileSync(join(npmPackage(downloads, NODE), 'pnpm'));
  const at = bytes.indexOf(`${FUSE}1`);
  if (at < 0 || bytes.indexOf(`${FUSE}1`, at + 1) >= 0) throw new Error(`${NODE} is not as it was`);
  bytes[at + FUSE.length] = '0'.charCodeAt(0);
  writeFileSync(place, bytes, { mode: 0o755 });
}

/** A folder with libstdc++ and libgcc_s for it. */
function makeLibraries(downloads, zig, folder) {
  const libraries = join(folder, 'lib');
  mkdirSync(libraries);
  const debian = debianFiles(downloads, { release: 'trixie', arch: 'amd64' }, ['libstdc++6', 'libgcc-s1']);
  const real = 'libstdc++-real.so.6';
  for (const [from, to] of [
    ['libstdc++.so.6', real],
    ['libgcc_s.so.1', 'libgcc_s.so.1'],
  ]) {
    copyFileSync(join(debian, 'usr/lib/x86_64-linux-gnu', from), join(libraries, to));
    chmodSync(join(libraries, to), 0o755);
    execFileSync('patchelf', ['--remove-needed', 'ld-linux-x86-64.so.2', to], { cwd: libraries });
  }
  execFileSync('patchelf', ['--set-soname', real, real], { cwd: libraries });
  const how = ['cc', '-target', 'x86_64-linux-musl', '-O1', '-fno-sanitize=all', '-shared', '-fPIC', '-D_GNU_SOURCE'];
  const link = ['-Wl,-soname,libstdc++.so.6', '-Wl,--no-as-needed', `./${real}`, '-o', 'libstdc++.so.6'];
  execFileSync(zig, [...how, join(root, 'test/support/musl/libstdcxx.c'), ...link], {
    cwd: libraries,
    env: zigEnvironment(),
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  execFileSync('patchelf', ['--replace-needed', `./${real}`, real, 'libstdc++.so.6'], { cwd: libraries });
  return libraries;
}

/** A command's beginning: the musl loader looks into `libraries` too, for whoever is started by it. */
function within(folder, libraries) {
  const paths = join(folder, 'path');
  writeFileSync(paths, `${libraries}\n${readFileSync(PATHS, 'utf8')}`);
  const asRoot = process.getuid() === 0 ? ['--mount'] : ['--mount', '--user', '--map-root-user'];
  return ['unshare', ...asRoot, 'sh', '-ec', 'mount --bind "$1" "$2"; shift 2; exec "$@"', 'sh', paths, PATHS];
}

function suite(folder, prefix, node, project) {
  const label = 'musl';
  const bindings = join(project, 'node_modules/@rolldown');
  const binding = join(
    bindings,
    readdirSync(bindings).find((name) => name === 'binding-linux-x64-musl'),
  );
  const results = join(folder, 'results');
  const env = {
    ...process.env,
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
    // The tools of the suite take the machine's libc for Node's.
    LIBC: 'musl',
    NAPI_RS_NATIVE_LIBRARY_PATH: join(
      binding,
      readdirSync(binding).find((name) => name.endsWith('.node')),
    ),
    PROCGROUP_TEST_SCALE: process.env.PROCGROUP_TEST_SCALE ?? '0.2',
    PROCGROUP_TEST_EXCLUDE: excluding('musl'),
    PROCGROUP_RESULTS: results,
    PROCGROUP_RESULTS_LABEL: label,
  };
  const said = `process.stdout.write(process.version + (process.report.getReport().header.glibcVersionRuntime ? ' glibc' : ' musl'))`;
  const [file, ...args] = [...prefix, node];
  const { stdout } = spawnSync(file, [...args, '-e', said], { encoding: 'utf8', env });
  if (!/^v\d+\.\d+\.\d+ musl$/.test(stdout)) throw new Error(`no Node on musl, but ${stdout}`);
  console.log(`\n=== suite: Node ${stdout}`);
  const vitest = join(project, 'node_modules/vitest/vitest.mjs');
  const status = run(file, [...args, vitest, 'run', ...process.argv.slice(2)], { cwd: project, env });
  const [counts] = readResults(results);
  if (!counts) return { label, passed: 0, failed: 1, skipped: 0 };
  return { ...counts, failed: status === 0 ? counts.failed : Math.max(counts.failed, 1) };
}

const needs = {
  programs: [...debianNeeds.programs, 'patchelf', 'unshare', 'mount'],
  files: [...debianNeeds.files, LOADER, PATHS],
};
const lacking = process.arch === 'x64' ? missing(needs) : 'an x64 machine';
if (lacking) {
  skip('musl', `${lacking} is not here (Debian packages musl, patchelf, util-linux, mount, debian-archive-keyring)`);
} else {
  await ensureBuilt();
  const zig = zigPath();
  await withFolder('musl', (folder) => {
    chmodSync(folder, 0o755); // Tests use other uids.
    const downloads = downloadsIn(folder);
    ensurePrebuilt('x64');
    const project = join(folder, 'project');
    copyProject(project, 'x64', 'musl');
    symlinkSync(join(modulesFor(downloads, 'x64', 'musl'), 'node_modules'), join(project, 'node_modules'));
    mkdirSync(join(folder, 'bin'));
    const node = join(folder, 'bin/node');
    makeNode(downloads, node);
    const prefix = within(folder, makeLibraries(downloads, zig, folder));
    process.exitCode = summarise([suite(folder, prefix, node, project)]);
  });
}
