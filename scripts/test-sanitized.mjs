// The whole suite on an instrumented addon. Usage: node scripts/test-sanitized.mjs asan | tsan
// Fails on a failed test and on any sanitizer report, also one from a process that no test looks at.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { addonPath, buildNative } from './build-native.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { run, runSuite, summarise } from './support.mjs';

// Children inherit the preloaded runtime, so it must not catch signals, and fork must stay possible beside threads.
const common = 'handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:use_sigaltstack=0';
const variants = {
  asan: {
    library: 'libasan.so',
    symbol: '__asan_init',
    options: (log) => ({
      // Node itself leaks a few bytes at exit from version 24 on.
      ASAN_OPTIONS: `detect_leaks=0:${common}:log_path=${log}`,
      UBSAN_OPTIONS: `print_stacktrace=1:halt_on_error=1:log_path=${log}`,
    }),
  },
  tsan: {
    library: 'libtsan.so',
    symbol: '__tsan_init',
    options: (log) => ({
      TSAN_OPTIONS: `ignore_noninstrumented_modules=1:die_after_fork=0:second_deadlock_stack=1:${common}:log_path=${log}`,
    }),
  },
};

// Not about the addon, or about programs that do not run under a preloaded runtime (ps, a shell on a terminal). Under the
// thread sanitizer also what looks at Node's own exit codes, limits and descriptors: it changes them.
const excluded = [
  'cli-*',
  'terminal-*',
  'guardian-*',
  'tree-*',
  'supervisor-killed-tree',
  'demo',
  'boundaries',
  'support',
  ...(process.argv[2] === 'tsan'
    ? [
        'exhaustion',
        'exit-detail',
        'fork-chain',
        'outer-exit-status',
        'pid-reuse',
        'posix-primitives',
        'spawn-options',
        'stdio',
        'supervisor-*',
        'worker-*',
        'fallback-*',
      ]
    : ['fork-chain']),
].map((name) => `test/${name}.test.ts`);
console.log(`left out of this run: ${excluded.join(' ')}`);

const name = process.argv[2];
const variant = variants[name];
if (!variant) throw new Error('usage: test-sanitized.mjs asan | tsan');

ensureBuilt();
if (buildNative(name) !== 0) process.exit(1);

const addon = addonPath(name);
const library = execFileSync(process.env.CXX ?? 'g++', [`-print-file-name=${variant.library}`], {
  encoding: 'utf8',
}).trim();
if (!isAbsolute(library)) throw new Error(`${variant.library} is not installed`);
if (!readFileSync(addon).includes(variant.symbol)) throw new Error(`${addon} is not instrumented`);

const directory = mkdtempSync(join(tmpdir(), `procgroup-${name}-`));
chmodSync(directory, 0o777); // Children under another uid report too.
const env = {
  PROCGROUP_TEST_SCALE: process.env.PROCGROUP_TEST_SCALE ?? '0.05',
  PROCGROUP_TEST_ADDON: addon,
  PROCGROUP_TEST_EXCLUDE: excluded.join(':'),
  LD_PRELOAD: library,
  ...variant.options(join(directory, 'report')),
};
// The thread sanitizer of GCC 12 cannot place its shadow under more than 28 bits of address space randomisation.
const randomBits = Number(readFileSync('/proc/sys/vm/mmap_rnd_bits', 'utf8'));
const prefix = name === 'tsan' && randomBits > 28 ? ['setarch', '-R'] : [];

let status = 1;
try {
  const loaded = `import { getpgrp } from './dist/posix.js'; import { readFileSync } from 'node:fs';
    getpgrp(); process.exit(readFileSync('/proc/self/maps', 'utf8').includes(${JSON.stringify(addon)}) ? 0 : 1);`;
  const [file, ...args] = [...prefix, process.execPath, '--input-type=module', '-e', loaded];
  if (run(file, args, { env: { ...process.env, ...env } }) !== 0) throw new Error(`${addon} does not load`);

  const counts = runSuite(name, env, prefix);
  const reports = readdirSync(directory);
  for (const report of reports) console.error(`\n--- ${report}\n${readFileSync(join(directory, report), 'utf8')}`);
  console.log(`${name}: ${reports.length} sanitizer reports`);
  status = summarise([counts]) || (reports.length > 0 ? 1 : 0);
} finally {
  rmSync(directory, { recursive: true });
}
process.exitCode = status;
