// Builds the guardian, a static executable without a C++ runtime: by musl-gcc where it is there, else by the system's C++
// compiler and its static libc (larger, slower to exec). Usage: node scripts/build-guardian.mjs [asan]
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { protocolBuild } from './protocol-build.mjs';
import { root, run } from './support.mjs';

/** Of the engine, what the guardian links: not the supervisor's side. */
const CORE = [
  'spawn',
  'clone',
  'resources',
  'lookup',
  'kernel',
  'group',
  'procfs',
  'procfs_status',
  'teardown',
  'cgroup',
  'cgroup_parent',
  'namespaces',
  'stages',
];

/** What most guardians never run: compiled apart, and linked where native/guardian/sections.ld says. */
const RARELY = [
  'guardian/help',
  'guardian/report',
  'guardian/sweep',
  'guardian/tree_kill',
  'guardian/box',
  'guardian/cli_box',
  'guardian/cli_front',
  'guardian/cli_failed',
  'guardian/cli_end',
  'core/cgroup_parent',
  'core/namespaces',
  'guardian/cgroup_box',
  'guardian/namespace_box',
  'guardian/service_box',
  'core/cgroup',
];

export const guardianPath = (variant = 'plain') =>
  join(root, variant === 'plain' ? 'build' : `build-${variant}`, 'Release', 'procgroup-guardian');

const has = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Sources and flags that hold for every compiler. `bare` is for the half between clone and exec: no instrumentation, no
    hidden calls. */
export function guardianRecipe() {
  const own = readdirSync(join(root, 'native/guardian')).filter((name) => name.endsWith('.cc'));
  const all = [...own.map((name) => `guardian/${name.slice(0, -3)}`).sort(), ...CORE.map((name) => `core/${name}`)];
  const source = (name) => `native/${name}.cc`;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return {
    often: all.filter((name) => !RARELY.includes(name)).map(source),
    rarely: RARELY.map((name) => ({ source: source(name), object: `-rarely-${name.replace('/', '-')}.o` })),
    language: ['-x', 'c++', '-std=c++20', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics'],
    common: [
      '-D_GNU_SOURCE',
      '-DPROCGROUP_GUARDIAN',
      `-DPROCGROUP_VERSION="${version}"`,
      `-DPROCGROUP_BUILD=${protocolBuild()}`,
      '-Inative',
      '-Wall',
      '-Wextra',
    ],
    bare: ['-Os', '-fno-stack-protector', '-fno-sanitize=all', '-fno-builtin', '-fno-tree-loop-distribute-patterns'],
  };
}

/** The exit status of the compiler. */
export function buildGuardian(variant = 'plain') {
  const out = guardianPath(variant);
  const started = new Date();
  mkdirSync(join(out, '..'), { recursive: true });
  const { often, rarely, language, common, bare } = guardianRecipe();
  // Of the stack that native/guardian/leader.cc keeps for it.
  bare.push('-Werror=frame-larger-than=8192');
  const sanitized = variant === 'asan';
  const musl = !sanitized && has('musl-gcc');
  const compiler = musl ? 'musl-gcc' : (process.env.CC ?? 'gcc');
  // Since GCC 12.
  const smallest = spawnSync(compiler, ['-Oz', '-E', '-x', 'c', '/dev/null']).status === 0 ? '-Oz' : '-Os';
  const kind = sanitized
    ? // A shared libubsan beside libasan ignores log_path, and a guardian's stderr is /dev/null.
      ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-static-libubsan']
    : [
        smallest,
        '-fno-inline-functions-called-once',
        '-fno-guess-branch-probability', // layouts that it chooses are larger
        '-fno-pie',
        '-fno-asynchronous-unwind-tables',
        '-fdata-sections',
        '-ffunction-sections',
      ];
  // Few pages: all of it is resident, and private where only one guardian runs.
  const linked = sanitized
    ? []
    : [
        '-flto',
        '-no-pie',
        '-static',
        '-s',
        '-Wl,--gc-sections',
        '-Wl,-z,noseparate-code',
        '-Wl,-z,norelro',
        '-Wl,-T,native/guardian/sections.ld',
      ];
  const child = `${out}-child.o`;
  let status = run(compiler, [...language, ...common, ...bare, '-c', 'native/core/child.cc', '-o', child], {
    cwd: root,
  });
  if (status !== 0) return status;
  const objects = [child];
  for (const { source, object } of rarely) {
    objects.push(out + object);
    status = run(compiler, [...language, ...common, ...kind, '-c', source, '-o', out + object], { cwd: root });
    if (status !== 0) return status;
  }
  // Linked beside its place and moved there: a running guardian keeps its file.
  const inputs = [...often, '-x', 'none', ...objects];
  status = run(compiler, [...language, ...common, ...kind, ...linked, ...inputs, '-o', `${out}.new`], { cwd: root });
  for (const object of objects) rmSync(object, { force: true });
  if (status !== 0) return status;
  // As old as the start, so that a source edited during the build counts as newer.
  utimesSync(`${out}.new`, started, started);
  renameSync(`${out}.new`, out);
  return status;
}

if (import.meta.filename === process.argv[1]) process.exitCode = buildGuardian(process.argv[2]);
