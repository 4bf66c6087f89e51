// An initramfs with Node, this checkout as it is built, and the test suite's dependencies. For machine.mjs.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../support.mjs';
import { init } from './machine.mjs';

const FOLDERS = ['bin', 'sbin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'root', 'usr/bin', 'usr/sbin', 'project'];
/** What the suite reads of the checkout. */
const CHECKOUT = [
  ...['package.json', 'package-lock.json', 'vitest.config.ts', 'tsconfig.json', 'tsconfig.test.json', 'binding.gyp'],
  ...['bin', 'dist', 'lib', 'native', 'scripts', 'test', 'examples', 'docs', 'README.md', 'CHANGELOG.md'],
];

/** Packages that these need at run time, as folders below node_modules, the nested ones within theirs. */
function closure(names) {
  const found = new Set();
  const add = (name, optional) => {
    if (found.has(name)) return;
    const file = join(root, 'node_modules', name, 'package.json');
    if (!existsSync(file)) {
      if (optional) return;
      throw new Error(`node_modules/${name} is missing: npm ci`);
    }
    found.add(name);
    const {
      dependencies = {},
      optionalDependencies = {},
      peerDependencies = {},
    } = JSON.parse(readFileSync(file, 'utf8'));
    for (const other of Object.keys(dependencies)) add(other, true);
    for (const other of [...Object.keys(optionalDependencies), ...Object.keys(peerDependencies)]) add(other, true);
  };
  for (const name of names) add(name, false);
  return found;
}

function put(image, file, place = file) {
  const target = join(image, place);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  cpSync(file, target, { dereference: true });
}

/** Copies what a program or addon of the host's architecture is linked with; of another one it copies nothing. */
function installLibraries(image, path) {
  const linked = spawnSync('ldd', [path], { encoding: 'utf8' }).stdout ?? '';
  for (const [, library] of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)) {
    if (!existsSync(join(image, library))) put(image, library);
  }
}

/** Copies a program of the host into the image, to the same place unless another is named, with what it is linked with. */
export function install(image, path, place = path) {
  put(image, path, place);
  installLibraries(image, path);
}

/** Why no image can be made here, or ''. */
export function whyNoImage(busybox = '/bin/busybox') {
  if (!existsSync(busybox)) return `no busybox at ${busybox}`;
  const linked = spawnSync('ldd', [busybox], { encoding: 'utf8' });
  return /=>/.test(linked.stdout ?? '') ? `${busybox} is not static` : '';
}

/**
 * Lays out the file system in the folder `image`: busybox, what `addPrograms(image)` puts there, the checkout under /project,
 * and /init, which runs `command`, a line of shell, in /project.
 */
export function layOut({ image, command, environment, busybox = '/bin/busybox', packages = ['vitest'], addPrograms }) {
  for (const name of FOLDERS) mkdirSync(join(image, name), { recursive: true });
  cpSync(busybox, join(image, 'bin/busybox'), { dereference: true });
  const applets = spawnSync(busybox, ['--list'], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  for (const applet of applets) {
    for (const place of ['bin', 'usr/bin']) {
      const path = join(image, place, applet);
      if (!existsSync(path)) symlinkSync('/bin/busybox', path);
    }
  }
  addPrograms(image);
  for (const name of CHECKOUT.filter((entry) => existsSync(join(root, entry)))) {
    cpSync(join(root, name), join(image, 'project', name), {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
      filter: (path) => !path.includes('/.build/fuzz'),
    });
  }
  for (const name of ['addon.node', 'procgroup-guardian'].filter((file) =>
    existsSync(join(root, 'build/Release', file)),
  )) {
    cpSync(join(root, 'build/Release', name), join(image, 'project/build/Release', name), { preserveTimestamps: true });
  }
  for (const name of closure(packages)) {
    cpSync(join(root, 'node_modules', name), join(image, 'project/node_modules', name), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  for (const name of readdirSync(join(image, 'project'), { recursive: true })) {
    if (name.endsWith('.node')) installLibraries(image, join(image, 'project', name));
  }
  writeFileSync(join(image, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n');
  writeFileSync(join(image, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  writeFileSync(join(image, 'etc/hosts'), '127.0.0.1 localhost\n');
  const PATH = `${dirname(process.execPath)}:/usr/sbin:/sbin:/usr/bin:/bin`;
  const script = init({ PATH, HOME: '/root', CI: '1', ...environment }, `cd /project && ${command}`);
  writeFileSync(join(image, 'init'), script, { mode: 0o755 });
}
