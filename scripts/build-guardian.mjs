// Builds the guardian, a static executable without a C++ runtime: by musl-gcc where it is there, else by the system's C++
// compiler and its static libc (larger, slower to exec). Usage: node scripts/build-guardian.mjs [asan]
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { protocolBuild } from './protocol-build.mjs';
import { root, run } from './support.mjs';

/** Of the engine, what the guardian links: not the supervisor's side. */
const CORE = ['spawn', 'resources', 'lookup', 'kernel', 'group', 'procfs', 'teardown'];

export const guardianPath = (variant = 'plain') =>
  join(root, variant === 'plain' ? 'build' : `build-${variant}`, 'Release', 'procgroup-guardian');

const has = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** The exit status of the compiler. */
export function buildGuardian(variant = 'plain') {
  const out = guardianPath(variant);
  const started = new Date();
  mkdirSync(join(out, '..'), { recursive: true });
  const own = readdirSync(join(root, 'native/guardian')).filter((name) => name.endsWith('.cc'));
  const sources = [...own.map((name) => `native/guardian/${name}`), ...CORE.map((name) => `native/core/${name}.cc`)];
  const language = ['-x', 'c++', '-std=c++20', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics'];
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const common = [
    '-D_GNU_SOURCE',
    '-DPROCGROUP_GUARDIAN',
    `-DPROCGROUP_VERSION="${version}"`,
    `-DPROCGROUP_BUILD=${protocolBuild()}`,
    '-Inative',
    '-Wall',
    '-Wextra',
  ];
  // The half between clone and exec: no instrumentation, no hidden calls.
  const bare = [
    '-Os',
    '-fno-stack-protector',
    '-fno-sanitize=all',
    '-fno-builtin',
    '-Werror=frame-larger-than=8192', // of the stack that native/guardian/leader.cc keeps for it
    '-fno-tree-loop-distribute-patterns',
  ];
  const sanitized = variant === 'asan';
  const musl = !sanitized && has('musl-gcc');
  const compiler = musl ? 'musl-gcc' : (process.env.CC ?? 'gcc');
  // Since GCC 12.
  const smallest = spawnSync(compiler, ['-Oz', '-E', '-x', 'c', '/dev/null']).status === 0 ? '-Oz' : '-Os';
  // Few pages: all of it is resident, and private where only one guardian runs.
  const pages = ['-ffunction-sections', '-Wl,--gc-sections', '-Wl,-z,noseparate-code', '-Wl,-z,norelro'];
  const kind = sanitized
    ? // A shared libubsan beside libasan ignores log_path, and a guardian's stderr is /dev/null.
      ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-static-libubsan']
    : [
        smallest,
        '-fno-inline-functions-called-once',
        '-fno-guess-branch-probability', // layouts that it chooses are larger
        '-flto',
        '-fno-pie',
        '-no-pie',
        '-static',
        '-s',
        '-fno-asynchronous-unwind-tables',
        '-fdata-sections',
        ...pages,
      ];
  const child = `${out}-child.o`;
  let status = run(compiler, [...language, ...common, ...bare, '-c', 'native/core/child.cc', '-o', child], {
    cwd: root,
  });
  if (status !== 0) return status;
  // Linked beside its place and moved there: a running guardian keeps its file.
  const inputs = [...sources, '-x', 'none', child];
  status = run(compiler, [...language, ...common, ...kind, ...inputs, '-o', `${out}.new`], { cwd: root });
  if (status !== 0) return status;
  // As old as the start, so that a source edited during the build counts as newer.
  utimesSync(`${out}.new`, started, started);
  renameSync(`${out}.new`, out);
  return status;
}

if (import.meta.filename === process.argv[1]) process.exitCode = buildGuardian(process.argv[2]);
