// Helpers of the benchmarks.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('floor/', import.meta.url));

/** How each floor program is built: the first line that links. */
const flags = {
  trivial: [
    ['-static', '-nostdlib', '-nostartfiles', '-fno-asynchronous-unwind-tables'],
    ['-static', '-DWITH_LIBC'],
    ['-DWITH_LIBC'],
  ],
  killpg: [['-static'], []],
  spawn: [['-static', '-pthread'], ['-pthread']],
  child: [['-static'], []],
};

/** Compiles floor programs into a temporary folder; the caller removes `folder`. */
export function buildFloor(names) {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-bench-'));
  const built = { folder };
  for (const name of names) {
    const target = join(folder, name);
    const compile = (more) =>
      execFileSync(process.env.CC ?? 'cc', ['-O2', ...more, '-o', target, join(sources, `${name}.c`)], {
        stdio: 'pipe',
      });
    const errors = [];
    for (const more of flags[name]) {
      try {
        compile(more);
        built[name] = target;
        break;
      } catch (error) {
        errors.push(String(error.stderr ?? error));
      }
    }
    if (!built[name]) throw new Error(`${name}.c cannot be built:\n${errors.join('\n')}`);
  }
  return built;
}

export function runFloor(file, args) {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

/** Settles once the stream has said `word`. */
export function lines(stream, word) {
  return new Promise((resolve, reject) => {
    let text = '';
    stream.on('data', (chunk) => {
      text += chunk;
      if (text.includes(word)) resolve();
    });
    stream.once('end', () => reject(new Error(`ended without ${word}: ${text}`)));
  });
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three significant digits, whole numbers from 100 on. */
export function round(value) {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

const kib = (path, key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))?.[1]) * 1024;

/** Bytes of memory that can be had. proc(5). */
export const available = () => kib('/proc/meminfo', 'MemAvailable');
export const residentBytes = () => kib('/proc/self/status', 'VmRSS');

/** The soft limit of open files, which Node raises to the hard one at its start. */
export function descriptors() {
  const found = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return found === 'unlimited' ? Number.POSITIVE_INFINITY : Number(found);
}

export function table(head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd();
  const [first, ...rest] = all.map(line);
  console.log([first, widths.map((width) => '-'.repeat(width)).join('  '), ...rest].join('\n'));
}
