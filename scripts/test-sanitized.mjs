// The suite on an instrumented addon, with asan on an instrumented guardian too, or the named files of it.
// Usage: node scripts/test-sanitized.mjs asan | tsan [--short] [test/name.test.ts ...]
// Fails on a failed test and on any sanitizer report, also one from a process that no test looks at.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { guardianPath } from './build-guardian.mjs';
import { addonPath, buildNative } from './build-native.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { excluding } from './left-out.mjs';
import { chooseFiles } from './short-runs.mjs';
import { run, runSuite, summarise } from './support.mjs';

// The runtime must not catch the signals that a test expects to be deadly, and fork must stay possible beside threads.
const common = 'handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:use_sigaltstack=0';
const variants = {
  asan: {
    library: 'libasan.so',
    symbol: '__asan_init',
    flags: ['-fsanitize=address,undefined', '-static-libubsan'],
    defects: ['char *p = malloc(1); free(p); return *p;', 'return 0x7fffffff + argc;'],
    options: (log) => ({
      // Node itself leaks a few bytes at exit from version 24 on.
      ASAN_OPTIONS: `detect_leaks=0:${common}:log_path=${log}`,
      UBSAN_OPTIONS: `print_stacktrace=1:halt_on_error=1:log_path=${log}`,
    }),
  },
  tsan: {
    library: 'libtsan.so',
    symbol: '__tsan_init',
    flags: ['-fsanitize=thread'],
    defects: ['pthread_t t; pthread_create(&t, 0, count, 0); count(0); return pthread_join(t, 0);'],
    options: (log) => ({
      TSAN_OPTIONS: `ignore_noninstrumented_modules=1:die_after_fork=0:second_deadlock_stack=1:${common}:log_path=${log}`,
    }),
  },
};

const [name = '', ...args] = process.argv.slice(2);
const variant = Object.hasOwn(variants, name) ? variants[name] : undefined;
if (!variant) throw new Error('usage: test-sanitized.mjs asan | tsan [--short] [test/name.test.ts ...]');

/** Programs with a defect each: a run whose reports do not arrive would find nothing. */
function control(directory, env, prefix) {
  for (const [i, defect] of variant.defects.entries()) {
    const program = join(directory, `control-${i}`);
    const source = `#include <pthread.h>
      #include <stdlib.h>
      int n; void *count(void *x) { for (int i = 0; i < 100000; i++) n++; return x; }
      int main(int argc, char **argv) { (void)argv; ${defect} }`;
    const args = [...variant.flags, '-O0', '-x', 'c', '-', '-o', program];
    execFileSync(process.env.CC ?? 'gcc', args, { input: source, stdio: ['pipe', 'inherit', 'inherit'] });
    const [file, ...rest] = [...prefix, program];
    run(file, rest, { env: { ...process.env, ...env, LD_PRELOAD: '' } });
    rmSync(program);
    const reports = readdirSync(directory);
    if (reports.length === 0) throw new Error(`no report of a known defect: ${defect}`);
    for (const report of reports) rmSync(join(directory, report));
  }
}

await ensureBuilt();
if (buildNative(name) !== 0) process.exit(1);

const addon = addonPath(name);
const library = execFileSync(process.env.CXX ?? 'g++', [`-print-file-name=${variant.library}`], {
  encoding: 'utf8',
}).trim();
if (!isAbsolute(library)) throw new Error(`${variant.library} is not installed`);
const instrumented = name === 'asan' ? [addon, guardianPath(name)] : [addon];
for (const path of instrumented) {
  if (!readFileSync(path).includes(variant.symbol)) throw new Error(`${path} is not instrumented`);
}

const directory = mkdtempSync(join(tmpdir(), `procgroup-${name}-`));
chmodSync(directory, 0o777); // Children under another uid report too.
const env = {
  PROCGROUP_TEST_SCALE: process.env.PROCGROUP_TEST_SCALE ?? '0.05',
  PROCGROUP_TEST_ADDON: addon,
  ...(name === 'asan' ? { PROCGROUP_TEST_GUARDIAN: guardianPath(name) } : {}),
  PROCGROUP_TEST_EXCLUDE: excluding(name),
  LD_PRELOAD: library,
  ...variant.options(join(directory, 'report')),
};
// The thread sanitizer of GCC 12 cannot place its shadow under more than 28 bits of address space randomisation.
const randomBits = Number(readFileSync('/proc/sys/vm/mmap_rnd_bits', 'utf8'));
const prefix = name === 'tsan' && randomBits > 28 ? ['setarch', '-R'] : [];

let status = 1;
try {
  control(directory, env, prefix);
  const loaded = `import { getpgrp } from './dist/posix.js'; import { readFileSync } from 'node:fs';
    getpgrp(); process.exit(readFileSync('/proc/self/maps', 'utf8').includes(${JSON.stringify(addon)}) ? 0 : 1);`;
  const [file, ...rest] = [...prefix, process.execPath, '--input-type=module', '-e', loaded];
  if (run(file, rest, { env: { ...process.env, ...env } }) !== 0) throw new Error(`${addon} does not load`);

  const counts = runSuite(name, env, prefix, chooseFiles(name, args));
  const reports = readdirSync(directory);
  for (const report of reports) console.error(`\n--- ${report}\n${readFileSync(join(directory, report), 'utf8')}`);
  console.log(`${name}: ${reports.length} sanitizer reports`);
  status = summarise([counts]) || (reports.length > 0 ? 1 : 0);
} finally {
  rmSync(directory, { recursive: true });
}
process.exitCode = status;
