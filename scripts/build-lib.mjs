// Builds dist/ of lib/: declarations by tsc, JavaScript by rolldown. All that `import 'procgroup'` needs lies in one file,
// dist/part-core.js: a module of its own costs Node half a millisecond to find, read and link. Every entry takes its
// shared state from the same parts.
import { readFileSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { programs, root, run } from './support.mjs';

/** Files of dist/ that are no exports: started by path, or looked at by tests and by the demo. */
const INTERNAL = [
  'cli/main',
  'workload-runner',
  'child-process/preload-path',
  'cli/style',
  'cli/tree-view',
  'native',
  'procfs',
  'workload-channel',
  'workload-envelope',
];

function entries() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const files = Object.values(exports).flatMap((target) => target.default ?? []);
  const names = [...files.map((file) => /^\.\/dist\/(.+)\.js$/.exec(file)[1]), ...INTERNAL];
  return Object.fromEntries(names.map((name) => [name, join(root, 'lib', `${name}.ts`)]));
}

async function bundle() {
  // Here, so that this file loads before the development dependencies are installed.
  const { rolldown } = await import('rolldown');
  const build = await rolldown({
    cwd: root,
    input: entries(),
    platform: 'node',
    external: [/^node:/],
    tsconfig: false,
    transform: { target: 'es2022' },
  });
  await build.write({
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    comments: false,
    entryFileNames: '[name].js',
    // Directly in dist/: core finds the addon and the guardian from where it lies.
    chunkFileNames: 'part-[name].js',
    codeSplitting: { groups: [{ name: 'core', test: /[/\\]lib[/\\]index\.ts$/ }] },
  });
  await build.close();
}

/** The exit status. */
export async function buildLib() {
  const started = new Date();
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const status = run(process.execPath, [programs.tsc, '-p', 'tsconfig.json']);
  if (status !== 0) return status;
  await bundle();
  // Older than what was edited meanwhile: scripts/ensure-built.mjs compares.
  utimesSync(join(root, 'dist/index.js'), started, started);
  return 0;
}

if (import.meta.filename === process.argv[1]) process.exitCode = await buildLib();
