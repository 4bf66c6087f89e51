// Rounds of: a supervisor builds and tears down trees without end, some at a time, is SIGKILLed at a random moment, and nobody
// may be left. Used by the suite, and by scripts/test-long.mjs for a thousand rounds.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { subjectEnv } from './environment.mjs';
import { alive, killMarked, newMark, waitUntil } from './oracle.mjs';
import { build, dist, root } from './paths.mjs';
import { readReady } from './ready.mjs';

const GRACE_MS = 60;
/** On an emulated processor everything takes longer. */
const SLOWNESS = Number(process.env.PROCGROUP_TEST_SLOWNESS ?? 1);
const SLACK_MS = 1_000 * SLOWNESS;
/** One turn of the subject is over within this on an idle machine; a round's moment is drawn from it. */
const SPAN_MS = 160 * SLOWNESS;

const subject = (containment, trees, more) => `
  import { spawn } from ${JSON.stringify(`${dist}index.js`)};
  const options = { containment: '${containment}', stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }], ...${JSON.stringify(more)} };
  await (await spawn('/bin/true', [], { stdio: 'ignore' })).gone;
  process.stdout.write('ready {}\\n');
  for (let tree = 0; tree < ${trees}; tree++) turns(tree);
  async function turns(first) {
    for (let turn = first; ; turn++) {
      const group = await spawn(${JSON.stringify(`${build}treeactor`)}, ['-r', '3', 'mixed'], options);
      // Every other turn the teardown begins while the tree is still being built.
      if (turn % 2 === 0) await new Promise((resolve) => group.stdio[3].once('data', resolve));
      await group.stop();
      group.stdio[3].destroy();
    }
  }`;

/**
 * One round; `victims` may kill others just before the supervisor. Gives what was left when grace and a second were over, and how long it took until nobody was.
 */
export async function sigkillRound({
  containment = 'tree',
  options = {},
  trees = 1,
  victims = undefined,
  random = Math.random,
  lateMs = 10_000,
} = {}) {
  const mark = newMark();
  const env = subjectEnv({ ...process.env, ...mark.env });
  const node = spawn(process.execPath, ['--input-type=module', '-e', subject(containment, trees, options)], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(node, 'exit');
  await readReady(node.stdout);
  const delayMs = random() * SPAN_MS;
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  const before = alive(mark.id).length;
  victims?.(node.pid);
  node.kill('SIGKILL');
  const [code, signal] = await ended;
  const began = performance.now();
  const quiet = () => alive(mark.id).length === 0;
  const inTime = await waitUntil(quiet, { timeoutMs: GRACE_MS + SLACK_MS, what: 'quiet' }).catch(() => false);
  const ms = performance.now() - began;
  const left = inTime ? [] : alive(mark.id);
  // Who dies late is late; who is there after `lateMs` more has survived.
  if (!inTime) await waitUntil(quiet, { timeoutMs: lateMs, what: 'quiet' }).catch(() => {});
  const survivors = killMarked(mark.id);
  return { delayMs, before, code, signal, ms, left, survivors };
}

/** `rounds` rounds, `lanes` at a time; on an emulated processor one, since beside others none gets as far as a tree. */
export async function sigkillRounds(rounds, { lanes = 2, onRound = () => {}, ...more } = {}) {
  const results = [];
  let next = 0;
  const lane = async () => {
    while (next < rounds) {
      const round = next++;
      // Spread over the span: a few rounds would else come too early all of them.
      const random = () => (round + Math.random()) / rounds;
      const result = await sigkillRound({ random, ...more });
      results.push(result);
      onRound(result, results.length);
    }
  };
  await Promise.all(Array.from({ length: SLOWNESS > 1 ? 1 : lanes }, lane));
  return results;
}
