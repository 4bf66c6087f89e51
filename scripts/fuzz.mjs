// The guardian's message parser and state machine under libFuzzer with ASan and UBSan; see test/fuzz/world.h for what it
// checks. Usage: npm run test:fuzz -- [--seconds N] [--merge]
// Starts from test/fuzz/corpus. What it finds goes to test/.build/fuzz; --merge afterwards makes the corpus of both again, as
// small as its coverage allows. Needs clang 19 with its runtimes (Debian packages clang-19 and libclang-rt-19-dev).
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { root, run } from './support.mjs';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '600' }, merge: { type: 'boolean', default: false } },
});
const seconds = Number(values.seconds);
if (!Number.isInteger(seconds) || seconds < 1) throw new Error('--seconds takes a positive integer');

const found = ['clang++-19', 'clang++'].find((name) => {
  const { stdout } = spawnSync(name, ['--version'], { encoding: 'utf8' });
  return /version 19\./.test(stdout ?? '');
});
if (!found) throw new Error('clang++ 19 is missing (Debian package clang-19)');

const folder = join(root, 'test/.build/fuzz');
const fuzzer = join(folder, 'guardian-fuzz');
const grown = join(folder, 'corpus');
const corpus = join(root, 'test/fuzz/corpus');
mkdirSync(grown, { recursive: true });

const sources = [
  ...['serve', 'service_box', 'news', 'guard_end', 'guard_start', 'guard', 'tree', 'tree_kill'].map(
    (name) => `native/guardian/${name}.cc`,
  ),
  ...['teardown', 'group'].map((name) => `native/core/${name}.cc`),
  ...['world', 'fake_kernel', 'guardian_fuzz'].map((name) => `test/fuzz/${name}.cc`),
];
const language = [
  '-std=c++20',
  '-D_GNU_SOURCE',
  '-DPROCGROUP_BUILD=1',
  '-Wall',
  '-Wextra',
  '-Wno-unused-private-field',
];
const sanitizers = ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined'];
const places = ['-include', 'test/fuzz/fake_system.h', '-Inative', '-Itest/fuzz'];
const build = ['-g', '-O1', '-fno-omit-frame-pointer', ...language, ...sanitizers, ...places, ...sources];
let status = run(found, [...build, '-o', fuzzer]);
if (status !== 0) {
  console.error('the fuzzer was not built; its runtime is in the Debian package libclang-rt-19-dev');
  process.exit(status);
}

/** Runs it, and shows what it says without the hundred words that it recommends for a dictionary. */
async function fuzz(args) {
  const child = spawn(fuzzer, args, { cwd: root, stdio: ['ignore', 'inherit', 'pipe'] });
  const ended = once(child, 'close');
  for await (const line of createInterface(child.stderr)) {
    if (!/^(#{6} .*dictionary|".*" # Uses: \d+$)/.test(line)) console.error(line);
  }
  const [code] = await ended;
  return code ?? 1;
}

// Without the line for each new input: a crash, and the figures of the end, are printed all the same.
const limits = [
  '-verbosity=0',
  '-max_len=768',
  '-len_control=0',
  '-timeout=20',
  '-rss_limit_mb=2048',
  `-artifact_prefix=${folder}/`,
];
status = await fuzz([...limits, `-max_total_time=${seconds}`, '-print_final_stats=1', grown, corpus]);
if (status === 0 && values.merge) {
  const smaller = join(folder, 'smaller');
  rmSync(smaller, { recursive: true, force: true });
  mkdirSync(smaller);
  status = run(fuzzer, ['-set_cover_merge=1', '-use_counters=0', smaller, corpus, grown]);
  if (status === 0) {
    rmSync(corpus, { recursive: true });
    renameSync(smaller, corpus);
    console.log(`${readdirSync(corpus).length} files in ${corpus}`);
  }
}
process.exitCode = status;
