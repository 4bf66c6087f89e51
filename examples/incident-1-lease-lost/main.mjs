// Incident 1: a heartbeat is answered with 409, since the queue gave the job to another host. The supervisor ends the process
// that it started; what that had started writes on, beside the new holder's.
//   node examples/incident-1-lease-lost/main.mjs
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endMarked, marked, markedEnv } from '../demo/marked.mjs';
import { Queue } from './queue.mjs';
import { superviseByHand } from './supervisor-node.mjs';
import { superviseTask } from './supervisor-procgroup.mjs';

const BLOCK_MS = 3_000;
const task = fileURLToPath(new URL('task.sh', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'incident-1-'));
const mark = randomUUID();
const queue = new Queue();
const title = (text) => console.log(`\n${text}\n`);
const say = (text) => console.log(`  ${text}`);
const problems = [];

function check(good, text) {
  if (!good) problems.push(text);
  say(`${good ? '+' : '!'} ${text}`);
}

const resultOf = (name) => join(folder, name);
const envFor = (name) => ({ ...markedEnv(mark), RESULT: resultOf(name) });
const rows = (name) => (existsSync(resultOf(name)) ? readFileSync(resultOf(name), 'utf8').split('\n').length - 1 : 0);

/** Rows that are written in half a second. */
async function writes(name) {
  const before = rows(name);
  await delay(500);
  return rows(name) - before;
}

function block(ms) {
  for (const end = performance.now() + ms; performance.now() < end; );
}

async function byHand() {
  title('1. node:child_process: child.kill() at 409');
  queue.takeAwayAfter(3);
  const { ms } = await superviseByHand(task, envFor('by-hand'), queue.url);
  say(`409 is read; the child's 'exit' comes ${ms.toFixed(0)} ms later, and the supervisor is done`);
  const left = marked(mark).length;
  const more = await writes('by-hand');
  check(left > 0 && more > 0, `the incident: ${left} processes live on, and have written ${more} more rows in 0.5 s`);
  check(await endMarked(mark), 'cleaned up by SIGKILL to each of them');
}

async function byLease() {
  title('2. procgroup/supervise: the lease is refused, then the event loop is blocked for 3 s');
  queue.takeAwayAfter(3);
  let read = 0;
  const onLost = () => {
    read = Date.now();
    queueMicrotask(() => block(BLOCK_MS));
  };
  const { kind, reason, report } = await superviseTask(task, envFor('refused'), queue.url, { onLost });
  say(`outcome: ${kind} (${reason}); ${report.steps.map(({ signal }) => signal).join(', ')} to the ${report.covers}`);
  const ms = statSync(resultOf('refused')).mtimeMs - read;
  check(ms < BLOCK_MS, `the last row was written ${Math.max(0, ms).toFixed(0)} ms after 409 was read (grace: 500 ms)`);
  check(marked(mark).length === 0 && report.empty, '/proc agrees with the report: nobody is left');
}

async function byDeadline() {
  title('3. procgroup/supervise: the event loop is blocked for 3 s, and the lease of 1.5 s runs out meanwhile');
  queue.takeAwayAfter(Number.POSITIVE_INFINITY);
  let blocked = 0;
  const onBeat = (beats) => {
    if (beats !== 3) return;
    blocked = Date.now();
    queueMicrotask(() => block(BLOCK_MS));
  };
  const { kind, reason, report } = await superviseTask(task, envFor('expired'), queue.url, { onBeat });
  say(`outcome: ${kind} (${reason}); ${report.steps.map(({ signal }) => signal).join(', ')} to the ${report.covers}`);
  const ms = statSync(resultOf('expired')).mtimeMs - blocked;
  check(
    ms < BLOCK_MS,
    `the last row was written ${ms.toFixed(0)} ms after the last good beat (lease and grace: 2,000 ms)`,
  );
  check(marked(mark).length === 0 && report.empty, '/proc agrees with the report: nobody is left');
}

// A reader that leaves (`| head`) must not leave the tasks.
process.stdout.on('error', () => {});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => endMarked(mark).finally(() => process.exit(1)));
}
try {
  await queue.open();
  await byHand();
  await byLease();
  await byDeadline();
} finally {
  await endMarked(mark);
  await queue.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = problems.length === 0 ? 0 : 1;
