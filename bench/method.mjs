// How everything is measured: contenders take turns (A B A B ...), each in a process of its own, after a warm-up;
// medians with their spread, and ratios by pairs: each round's value over the same round's value of the base.
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { spawn } from '../dist/child-process.js';
import { median } from './support.mjs';

const script = fileURLToPath(new URL('actor.mjs', import.meta.url));

/** An engine in its process. `runtime`: the command that starts it, for instance ['/path/to/bun']. */
export class Actor {
  #child;
  #waiting = [];
  #stderr = '';

  constructor(engine, { options = {}, runtime = [process.execPath], env = {} } = {}) {
    const [file, ...words] = [...runtime, script, engine, JSON.stringify(options)];
    this.#child = spawn(file, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      containment: 'tree', // a run that is interrupted leaves nothing, however many sleepers a measure has started
    });
    this.#child.stderr.on('data', (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-4096);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line);
      const { resolve, reject } = this.#waiting.shift();
      if ('error' in answer) reject(new Error(`${engine}: ${answer.error}`));
      else resolve(answer.result);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', resolve).once('close', resolve);
    });
    this.ended.then((how) => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${engine} ended (${how}): ${this.#stderr}`));
    });
  }

  get pid() {
    return this.#child.pid;
  }

  call(op, parameters = {}) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ op, ...parameters })}\n`);
    });
  }

  async close() {
    this.#child.stdin.end();
    await this.ended;
  }
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

/** Median, and the range that holds the middle half. */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: median(sorted), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75), rounds: sorted.length };
}

/**
 * Turns of all contenders, `rounds` each: a contender is { name, base?, slow?, measure() }, and measure() gives one
 * number a round. The first round of each is a warm-up and not counted. One that takes above `patienceMs` for it gets
 * 2 rounds, and is marked.
 */
export async function inTurns(contenders, { rounds = 7, patienceMs = 5_000, progress = () => {} } = {}) {
  const values = contenders.map(() => []);
  const wanted = contenders.map(() => rounds);
  const failed = contenders.map(() => null);
  for (let round = -1; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      if (failed[i] !== null || round >= wanted[i]) continue;
      const begin = performance.now();
      try {
        const value = await contender.measure(round);
        if (round >= 0) values[i].push(value);
      } catch (error) {
        failed[i] = String(error.message ?? error).split('\n')[0];
      }
      if (round < 0 && performance.now() - begin > patienceMs) wanted[i] = 2;
      progress(`${contender.name} ${Math.max(round + 1, 0)}/${wanted[i]}`);
    }
  }
  return contenders.map((contender, i) =>
    failed[i] !== null || values[i].length === 0
      ? { name: contender.name, failed: failed[i] ?? 'no value' }
      : { name: contender.name, values: values[i], ...summary(values[i]), few: wanted[i] < rounds },
  );
}

/** Median of a_i / b_i over the rounds that both have. */
export function ratioByPairs(a, b) {
  const count = Math.min(a.length, b.length);
  return median(Array.from({ length: count }, (_, i) => a[i] / b[i]));
}
