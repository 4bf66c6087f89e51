// What the scripts share: where things are, and how a command, a build and a run of the test suite are started.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command in the repository's root with our own stdio; its exit status, or 128 + n, or 127 where it is missing. */
export function run(file, args, options = {}) {
  const result = spawnSync(file, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) {
    console.error(`${file}: ${result.error.message}`);
    return 127;
  }
  return result.status ?? 128;
}

/** Path of a development dependency's program, to be run with process.execPath. */
export const programs = {
  biome: join(root, 'node_modules/@biomejs/biome/bin/biome'),
  nodeGyp: join(root, 'node_modules/node-gyp/bin/node-gyp.js'),
  tsc: join(root, 'node_modules/typescript/bin/tsc'),
  vitest: join(root, 'node_modules/vitest/vitest.mjs'),
};

/** Prefix whose include/node belongs to exactly this Node, so that a build needs no download; else undefined. */
export function headersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  const header = join(prefix, 'include/node/node_version.h');
  if (!existsSync(header)) return undefined;
  const text = readFileSync(header, 'utf8');
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
  const version = ['MAJOR', 'MINOR', 'PATCH'].map(part).join('.');
  return version === process.versions.node ? prefix : undefined;
}

/** Names of the environment by which scripts/results-reporter.mjs hands the counts on. */
const RESULTS = 'PROCGROUP_RESULTS';
const LABEL = 'PROCGROUP_RESULTS_LABEL';

/** The counts that a run has recorded from line `from` on; one failure where it broke off without any. */
function recorded(results, from, label, status) {
  const [counts] = readResults(results).slice(from);
  if (!counts) return { label, passed: 0, failed: 1, skipped: 0 };
  return { ...counts, failed: status === 0 ? counts.failed : Math.max(counts.failed, 1) };
}

export function readResults(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** Runs the suite once, whole or the named files of it, on that Node. A run that broke off without counts is one failure. */
export function runSuite(label, env = {}, prefix = [], files = [], node = process.execPath) {
  const directory = process.env[RESULTS] ? undefined : mkdtempSync(join(tmpdir(), 'procgroup-results-'));
  const results = process.env[RESULTS] ?? join(directory, 'results');
  try {
    const before = readResults(results).length;
    console.log(`\n=== suite: ${label}`);
    const [file, ...args] = [...prefix, node, programs.vitest, 'run', ...files];
    const status = run(file, args, { env: { ...process.env, ...env, [RESULTS]: results, [LABEL]: label } });
    return recorded(results, before, label, status);
  } finally {
    if (directory) rmSync(directory, { recursive: true });
  }
}

/** The same without waiting for it here. Its output is printed where it failed. */
export async function startSuite(label, files = []) {
  const directory = mkdtempSync(join(tmpdir(), 'procgroup-results-'));
  const [results, log] = [join(directory, 'results'), join(directory, 'log')];
  const output = openSync(log, 'a');
  try {
    const env = { ...process.env, [RESULTS]: results, [LABEL]: label };
    const child = spawn(process.execPath, [programs.vitest, 'run', ...files], {
      cwd: root,
      env,
      stdio: ['ignore', output, output],
    });
    const [status] = await once(child, 'close');
    const counts = recorded(results, 0, label, status);
    if (counts.failed > 0) console.log(readFileSync(log, 'utf8'));
    return counts;
  } finally {
    closeSync(output);
    rmSync(directory, { recursive: true });
  }
}

/** Prints one line a run and the sum; the exit status that they deserve. */
export function summarise(runs) {
  const sum = (key) => runs.reduce((total, counts) => total + counts[key], 0);
  console.log('');
  for (const { label, passed, failed, skipped } of runs) {
    console.log(`${label}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
  console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
  return sum('failed') === 0 && runs.every((counts) => counts.passed > 0) ? 0 : 1;
}
