// Builds the released binaries of every target into prebuilds/ by one compiler (scripts/zig.mjs), and writes their checksums.
// Two runs give the same bytes, in whatever folder. Usage: node scripts/prebuild.mjs [ARCH ...], ARCH: x64 | arm64
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { guardianRecipe } from './build-guardian.mjs';
import { addonRecipe } from './native-recipe.mjs';
import { ADDON, ARCHES, GUARDIAN, LIBCS, NAMES, prebuilds, writeChecksums } from './prebuilds.mjs';
import { root } from './support.mjs';
import { zigEnvironment, zigPath } from './zig.mjs';

const TRIPLE = {
  glibc: { x64: 'x86_64-linux-gnu.2.28', arm64: 'aarch64-linux-gnu.2.28' },
  musl: { x64: 'x86_64-linux-musl', arm64: 'aarch64-linux-musl' },
};

// zig traps undefined behaviour by a sanitizer of its own unless it is told not to; its code is made for the oldest
// processor of the architecture. Nothing of where it ran is left in the result.
const BASE = [
  '-fno-sanitize=all',
  `-ffile-prefix-map=${root}=.`,
  '-Wno-unknown-warning-option',
  '-Wno-nullability-completeness',
];
const OF_ARCH = { x64: [], arm64: ['-mno-outline-atomics'] }; // which would be a call between clone and exec

const WITHOUT_UNWINDING = ['-fno-asynchronous-unwind-tables', '-fno-unwind-tables'];

// GCC's name for what clang leaves out with -fno-builtin.
const UNKNOWN = '-fno-tree-loop-distribute-patterns';

/** Runs the compiler; rejects with what it said. */
function compile(zig, args, env) {
  return new Promise((resolve, reject) => {
    const known = args.filter((flag) => flag !== UNKNOWN);
    const child = spawn(zig, known, { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (said) process.stderr.write(said);
      if (code === 0) resolve();
      else reject(new Error(`zig ${args[0]} for ${args.at(-1)}: ${signal ?? code}`));
    });
  });
}

async function compileAll(zig, commands, env) {
  const waiting = commands.values();
  const worker = async () => {
    for (const args of waiting) await compile(zig, args, env);
  };
  const ends = await Promise.allSettled(Array.from({ length: availableParallelism() }, worker));
  const failed = ends.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
}

async function guardian(zig, arch, objects, out, env) {
  const { often, rarely, language, common, bare } = guardianRecipe();
  const compiler = ['cc', '-target', TRIPLE.musl[arch], ...BASE, ...OF_ARCH[arch]];
  const child = join(objects, 'child.o');
  const half = [...compiler, ...language, ...common, ...bare, '-fno-pie', '-c', 'native/core/child.cc', '-o', child];
  // Few pages: all of it is resident, and private where only one guardian runs.
  const small = ['-Oz', '-g0', '-fno-pie', '-fno-stack-protector', '-fdata-sections', '-ffunction-sections'];
  const kind = [...compiler, ...language, ...common, ...small, ...WITHOUT_UNWINDING];
  const apart = rarely.map(({ source, object }) => ({ source, object: join(objects, object) }));
  const commands = apart.map(({ source, object }) => [...kind, '-c', source, '-o', object]);
  await compileAll(zig, [half, ...commands], env);
  const layout = ['-Wl,-z,norelro', '-Wl,-T,scripts/toolchain/sections.ld'];
  const linked = ['-flto', '-no-pie', '-static', '-s', '-Wl,--gc-sections', ...layout];
  const inputs = [...often, '-x', 'none', child, ...apart.map(({ object }) => object)];
  await compile(zig, [...kind, ...linked, ...inputs, '-o', out], env);
}

async function addon(zig, arch, libc, objects, carried, out, env) {
  const recipe = addonRecipe(arch);
  const compiler = ['c++', '-target', TRIPLE[libc][arch], ...BASE, ...OF_ARCH[arch]];
  // libc++abi would bring its demangler, a quarter of the file, for the last words of an exception that nobody throws.
  const all = [...recipe.objects, { source: 'scripts/toolchain/no_demangle.cc', flags: [] }];
  const compiled = all.map(({ source, flags }) => {
    const object = join(objects, `${libc}-${source.replaceAll('/', '-')}.o`);
    const own = source.endsWith('/carried.cc') ? [`-DPROCGROUP_GUARDIAN_FILE="${carried}"`] : [];
    return { object, args: [...compiler, ...flags, ...own, ...WITHOUT_UNWINDING, '-g0', '-c', source, '-o', object] };
  });
  await compileAll(
    zig,
    compiled.map(({ args }) => args),
    env,
  );
  const inputs = compiled.map(({ object }) => object);
  await compile(zig, [...compiler, '-shared', '-s', ...recipe.link, ...inputs, '-o', out], env);
}

/** Builds all binaries of an architecture, then puts them into its folder. */
async function build(zig, arch) {
  const scratch = mkdtempSync(join(tmpdir(), 'procgroup-prebuild-'));
  const env = zigEnvironment();
  const folder = join(prebuilds, `linux-${arch}`);
  try {
    const file = (name) => join(scratch, name);
    await guardian(zig, arch, scratch, file(GUARDIAN), env);
    for (const libc of LIBCS) await addon(zig, arch, libc, scratch, file(GUARDIAN), file(ADDON[libc]), env);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const name of NAMES) {
      copyFileSync(file(name), join(folder, name));
      chmodSync(join(folder, name), 0o755);
      console.log(`linux-${arch}/${name}: ${statSync(join(folder, name)).size} bytes`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const chosen = process.argv.length > 2 ? process.argv.slice(2) : ARCHES;
for (const arch of chosen) {
  if (!ARCHES.includes(arch)) throw new Error(`unknown architecture: ${arch}`);
}
const zig = zigPath();
for (const arch of chosen) await build(zig, arch);
writeChecksums();
