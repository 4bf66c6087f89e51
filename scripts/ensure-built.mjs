// Makes a checkout ready to run: installs what package-lock.json names, then builds what is older than its sources.
// Needs nothing but Node, npm, python3, make and a C++ compiler; does nothing where everything is current.
// --dependencies: installs alone.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildGuardian, guardianPath } from './build-guardian.mjs';
import { buildLib } from './build-lib.mjs';
import { addonPath, buildNative } from './build-native.mjs';
import { root, run } from './support.mjs';

/** Newest modification below the paths; directories count, so a removed file is seen too. */
function newest(paths) {
  let time = 0;
  for (const path of paths.map((name) => join(root, name))) {
    const below = statSync(path).isDirectory() ? readdirSync(path, { recursive: true, withFileTypes: true }) : [];
    for (const file of [path, ...below.map((entry) => join(entry.parentPath, entry.name))]) {
      time = Math.max(time, statSync(file).mtimeMs);
    }
  }
  return time;
}

const stale = (output, inputs) => !existsSync(output) || newest(inputs) > statSync(output).mtimeMs;

function installed() {
  const hidden = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(hidden)) return false;
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const present = packages(hidden);
  return Object.entries(packages(join(root, 'package-lock.json'))).every(
    ([path, wanted]) => path === '' || wanted.optional || present[path]?.version === wanted.version,
  );
}

function step(what, status) {
  if (status === 0) return;
  console.error(`procgroup: ${what} failed`);
  process.exit(1);
}

function ensureInstalled() {
  if (installed()) return;
  console.error('procgroup: installing the development dependencies');
  // npm's own environment would make the inner npm believe that it runs our script.
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const [file, ...args] = [...npm, 'ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
  step('npm ci', run(file, args));
}

export async function ensureBuilt() {
  ensureInstalled();
  if (stale(addonPath('plain'), ['native', 'binding.gyp', 'package-lock.json'])) {
    console.error('procgroup: building the addon');
    step('the build of the addon', buildNative('plain'));
  }
  // Before the addon; by itself where its own recipe is newer, or where it is missing.
  if (stale(guardianPath(), ['native', 'package.json', 'scripts/build-guardian.mjs', 'scripts/protocol-build.mjs'])) {
    console.error('procgroup: building the guardian');
    step('the build of the guardian', buildGuardian());
  }
  if (stale(join(root, 'dist/index.js'), ['lib', 'tsconfig.json', 'package-lock.json', 'scripts/build-lib.mjs'])) {
    console.error('procgroup: compiling lib/');
    step('the build of lib/', await buildLib());
  }
}

if (import.meta.filename === process.argv[1]) {
  if (process.argv.includes('--dependencies')) ensureInstalled();
  else await ensureBuilt();
}
