// Incident 2: a scheduler's worker with 22 threads launches jobs by fork(). Some 5 % of them hang or fail, since a child
// inherits locked locks; a fresh interpreter with a JSON workload cures that, and loses the error's traceback.
//   node examples/incident-2-threaded-launch/main.mjs [launches, default 2000]
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { runWorkload, WorkloadError } from 'procgroup/workload';

const LAUNCHES = Number(process.argv[2] ?? 2_000);
const THREADS = 22;
const LANES = 8;
const here = (name) => new URL(name, import.meta.url);
const say = (text) => console.log(`  ${text}`);
const title = (text) => console.log(`\n${text}`);

/** The payload of job `id`, and the value that it must give. A value is beyond what JSON can carry. */
const payloadOf = (id) => ({ id, rows: [{ value: 2n ** 60n }, { value: BigInt(id) }] });
const totalOf = (id) => 2n ** 60n + BigInt(id);

/** Calls launch(id) for each id, some at a time. */
async function inLanes(count, launch) {
  let next = 0;
  const lane = async () => {
    while (next < count) await launch(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function startThreads() {
  const workers = Array.from({ length: THREADS }, () => new Worker(here('busy.mjs')));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return async () => {
    const ends = workers.map((worker) => once(worker, 'message'));
    for (const worker of workers) worker.postMessage('stop');
    const done = (await Promise.all(ends)).map(([counts]) => counts);
    await Promise.all(workers.map((worker) => worker.terminate()));
    return done;
  };
}

async function theIncident() {
  title('1. The incident itself: fork() in a process with 22 busy threads');
  say(
    'Node cannot show it: it has no fork without exec. Its own launches (libuv) exec at once and run nothing between.',
  );
  try {
    const { stdout } = await promisify(execFile)('python3', ['-W', 'ignore', fileURLToPath(here('fork.py')), '200']);
    const { forks, hung } = JSON.parse(stdout);
    say(`Python can: ${hung} of ${forks} forked children hang for ever in a lock whose owner was not copied.`);
  } catch (error) {
    say(`Python could, but there is none here that runs (${error.code ?? error.message}).`);
  }
}

/** The cure of the time: a fresh interpreter and JSON. Node may tell the exit before the message that came before it. */
async function byFork(payload) {
  const child = fork(here('job.mjs'), [], { execArgv: [] });
  let answer;
  child.once('message', (message) => {
    answer = message;
  });
  const ended = Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
  child.send({ ...payload, rows: payload.rows?.map(({ value }) => ({ value: String(value) })) });
  const [[code]] = await ended;
  if (answer?.value) return answer.value;
  throw new Error(answer?.error.message ?? `ended with ${code}`);
}

function describe(error) {
  const { name, message, cause, id, retriable, stack } = error;
  const where = /job\.mjs:\d+/.exec(stack)?.[0] ?? 'not where it was thrown';
  const causes = cause ? `${cause.message} (${cause.errors.map((one) => one.message).join(', ')})` : 'none';
  return `${name}: ${message}; thrown at: ${where}; fields: ${JSON.stringify({ id, retriable })}; cause: ${causes}`;
}

async function withNode(count) {
  title(`2. Node's own cure: child_process.fork() and JSON, ${count} launches beside ${THREADS} busy threads`);
  let right = 0;
  await inLanes(count, async (id) => {
    const { total } = await byFork(payloadOf(id));
    if (BigInt(total) === totalOf(id)) right++;
  });
  say(`right values ${right} of ${count}: exec is what cures the hangs. What the caller gets to see of an error:`);
  say(describe(await byFork({ id: 7, broken: true }).catch((error) => error)));
}

async function withProcgroup(count) {
  title(`3. runWorkload(), ${count} launches beside ${THREADS} busy threads`);
  const seen = { right: 0, hangs: 0, failures: [] };
  const begin = performance.now();
  const progress = setInterval(() => process.stderr.isTTY && process.stderr.write(`  ${seen.right}\r`), 1_000);
  await inLanes(count, async (id) => {
    try {
      const { total } = await runWorkload(here('job.mjs'), payloadOf(id), { exportName: 'job', timeoutMs: 120_000 });
      if (total === totalOf(id)) seen.right++;
      else seen.failures.push(`job ${id}: ${total}`);
    } catch (error) {
      if (error instanceof WorkloadError && error.code.endsWith('_TIMEOUT')) seen.hangs++;
      else seen.failures.push(String(error));
    }
  });
  clearInterval(progress);
  const seconds = (performance.now() - begin) / 1_000;
  say(`hangs ${seen.hangs}, failures ${seen.failures.length}, right values ${seen.right} of ${count}`);
  for (const failure of seen.failures.slice(0, 3)) say(`! ${failure}`);
  say(`${(count / seconds).toFixed(1)} launches a second. What the caller gets to see of an error:`);
  const error = await runWorkload(here('job.mjs'), { id: 7, broken: true }, { exportName: 'job' }).catch((one) => one);
  say(describe(error));
  return seen.right === count && error.cause?.errors.length === 2;
}

/** Children of this process, dead or alive, by /proc. */
function children() {
  const parent = (pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    } catch {
      return 0;
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parent(name) === process.pid);
}

await theIncident();
const stopThreads = await startThreads();
let good = false;
let threads;
try {
  await withNode(Math.max(1, Math.min(100, Math.round(LAUNCHES / 20))));
  good = await withProcgroup(LAUNCHES);
} finally {
  threads = await stopThreads();
}
const left = children();
const rounds = threads.reduce((sum, one) => sum + one.rounds, 0);
const handshakes = threads.reduce((sum, one) => sum + one.handshakes, 0);
say(
  `The threads made ${rounds} rounds with ${handshakes} TLS handshakes meanwhile; the idlest made ${Math.min(...threads.map((one) => one.rounds))}.`,
);
say(`Children of this process that are left, zombies included: ${left.length}`);
process.exitCode = good && left.length === 0 ? 0 : 1;
