// node examples/incident-4-shared-helper/main.mjs: a pool that recycles its workers, each with a helper for its reads.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endMarked, marked, markedEnv } from '../demo/marked.mjs';

const LEAKING = 10;
const RECYCLED = 50;
const PATIENCE_MS = 10_000;
const mark = randomUUID();
const say = (text) => console.log(`  ${text}`);

/** How many readers live. A shell that is about to run `sleep` looks like one: its parent is a reader. */
function readers() {
  const found = new Map();
  for (const pid of marked(mark)) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('reader.sh')) continue;
      found.set(pid, Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  return [...found.values()].filter((parent) => !found.has(parent)).length;
}

/** One worker's life. Gives what it printed, and how many readers there were at most while it ran. */
async function worker(name, end, report = false) {
  const program = fileURLToPath(new URL(`${name}.mjs`, import.meta.url));
  const env = { ...markedEnv(mark), PROCGROUP_REPORT: report ? '1' : '0' };
  const child = spawn(process.execPath, [program, end], {
    env,
    stdio: ['ignore', 'pipe', report ? 'pipe' : 'inherit'],
  });
  const seen = { stdout: '', stderr: '', during: 0 };
  const look = () => {
    seen.during = Math.max(seen.during, readers());
  };
  const looking = setInterval(look, 20);
  child.stdout.on('data', (text) => {
    look();
    seen.stdout += text;
  });
  child.stderr?.on('data', (text) => {
    seen.stderr += text;
  });
  await once(child, 'close');
  clearInterval(looking);
  return seen;
}

async function withChildProcess() {
  console.log(`\n1. ${LEAKING} workers with node:child_process, one after the other`);
  const left = [];
  for (let round = 0; round < LEAKING; round++) {
    await worker('worker-node', 'exits');
    left.push(readers());
  }
  say(`readers alive after each: ${left.join(' ')}. In the incident each of them held 350 MB.`);
  say('ended by this example');
  await endMarked(mark);
  return left.at(-1) === LEAKING;
}

async function withProcgroup() {
  console.log(`\n2. ${RECYCLED} workers with sharedHelper(), every fifth SIGKILLed`);
  let [reads, most, slowest] = [0, 0, 0];
  for (let round = 1; round <= RECYCLED; round++) {
    const { stdout, during } = await worker('worker-procgroup', round % 5 === 0 ? 'killed' : 'exits');
    const ended = performance.now();
    while (marked(mark).length > 0 && performance.now() < ended + PATIENCE_MS) await delay(5);
    slowest = Math.max(slowest, performance.now() - ended);
    reads += Number.parseInt(stdout, 10);
    most = Math.max(most, during);
  }
  const left = marked(mark).length;
  say(
    `${reads} reads; readers alive at once: at most ${most}; gone within ${slowest.toFixed(0)} ms of their worker's end; left: ${left}`,
  );
  const { stderr } = await worker('worker-procgroup', 'exits', true);
  say('PROCGROUP_REPORT=1 tells what a worker held when it ended, and where that was started:');
  const told = stderr.split('\n').filter((line) => /living|'reader'|worker-procgroup\.mjs:/.test(line));
  for (const line of told.slice(0, 4)) say(`  ${line}`);
  return reads === 100 * RECYCLED && most <= 1 && left === 0 && stderr.includes("'reader', idle");
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => endMarked(mark).finally(() => process.exit(1)));
}
let proved = false;
try {
  proved = (await withChildProcess()) && (await withProcgroup());
} finally {
  proved = (await endMarked(mark)) && proved;
}
console.log(proved ? '\nproved' : '\nNOT proved');
process.exitCode = proved ? 0 : 1;
