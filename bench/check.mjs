// npm run bench:check: counts of system calls that do not depend on the machine's mood, against budgets. Fails when one
// is exceeded, and when one is so much lower that the budget should follow. Counted by strace -f -c, as the difference
// between many and few of the same thing, so that the start of Node does not count. And instructions, by callgrind.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildDriver, instructions, whyNoInstructions } from './instructions.mjs';
import { buildFloor, round, table } from './support.mjs';

const subject = fileURLToPath(new URL('check-subject.mjs', import.meta.url));
const FEW = 5;

const spawnCalls = ['clone', 'clone3', 'vfork', 'fork'];
const loopCalls = [
  'futex',
  'epoll_wait',
  'epoll_pwait',
  'epoll_ctl',
  'eventfd_write',
  'read',
  'write',
  'recvmsg',
  'sendmsg',
];

/** Calls a unit: [lowest, highest] of the sum of the named calls. A trace is slow: a range stands where threads meet. */
const budgets = [
  { containment: 'group', what: 'spawns', many: 105, calls: spawnCalls, range: [1, 1] },
  { containment: 'group', what: 'spawns', many: 105, calls: ['execve'], range: [1, 1] },
  { containment: 'group', what: 'spawns', many: 105, calls: ['close_range'], range: [2, 2] },
  { containment: 'group', what: 'spawns', many: 105, calls: ['waitid', 'wait4'], range: [1, 1] },
  { containment: 'group', what: 'spawns', many: 105, calls: loopCalls, range: [6, 40] },
  { containment: 'tree', what: 'spawns', many: 105, calls: spawnCalls, range: [2, 2] },
  { containment: 'tree', what: 'spawns', many: 105, calls: ['execve'], range: [2, 2] },
  { containment: 'tree', what: 'spawns', many: 105, calls: ['close_range'], range: [2, 3] },
  { containment: 'tree', what: 'spawns', many: 105, calls: ['waitid', 'wait4'], range: [2, 5] },
  { containment: 'tree', what: 'spawns', many: 105, calls: loopCalls, range: [10, 70] },
  // The leader forks 99 members itself.
  { containment: 'group', what: 'teardown', many: 10, calls: ['kill', 'pidfd_send_signal'], range: [1, 8] },
  { containment: 'group', what: 'teardown', many: 10, calls: ['waitid', 'wait4'], range: [1, 4] },
  { containment: 'group', what: 'teardown', many: 10, calls: ['pidfd_open'], range: [0, 110] },
  // One for each member, and looks that find none: how many differs from one teardown to the next.
  { containment: 'tree', what: 'teardown', many: 25, calls: ['waitid', 'wait4'], range: [80, 320] },
];

/** Instructions of core for an exit notice, with the two passes over /proc that prove it where a zombie pins the group. */
const NOTICE = [9_000, 14_000];

async function countInstructions({ folder, trivial }) {
  const reason = await whyNoInstructions();
  if (reason) return console.log(`instructions: skipped, ${reason}`);
  const driver = buildDriver(folder);
  const few = await instructions(folder, driver, trivial, FEW);
  const each = ((await instructions(folder, driver, trivial, 105)) - few) / 100;
  const kept = each >= NOTICE[0] && each <= NOTICE[1];
  console.log(
    `${kept ? 'ok' : 'NOT'}  core, exit notice: ${Math.round(each)} instructions, budget ${NOTICE.join(' ... ')}`,
  );
  if (!kept) process.exitCode = 1;
}

function trace(folder, words) {
  const out = join(folder, 'strace');
  execFileSync('strace', ['-f', '-c', '-o', out, process.execPath, subject, ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const counts = new Map();
  for (const line of readFileSync(out, 'utf8').split('\n')) {
    const found = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$/.exec(line);
    if (found) counts.set(found[2], Number(found[1]));
  }
  return counts;
}

if (spawnSync('strace', ['-V']).error) {
  console.log('bench:check: skipped, strace is not there');
} else {
  const floor = buildFloor(['trivial', 'killpg']);
  try {
    const traced = new Map();
    const counts = (containment, what, count) => {
      const key = [containment, what, count].join();
      if (!traced.has(key)) {
        traced.set(key, trace(floor.folder, [floor.trivial, floor.killpg, containment, what, String(count)]));
      }
      return traced.get(key);
    };
    const rows = budgets.map(({ containment, what, many, calls, range: [low, high] }) => {
      const sum = (of) => calls.reduce((total, call) => total + (of.get(call) ?? 0), 0);
      const each = (sum(counts(containment, what, many)) - sum(counts(containment, what, FEW))) / (many - FEW);
      // The trace itself may make a thread look twice: a few hundredths are not a call.
      const kept = each >= low - 0.05 && each <= high + 0.05;
      return {
        kept,
        cells: [kept ? 'ok' : 'NOT', containment, what, calls.join('+'), round(each), `${low} ... ${high}`],
      };
    });
    table(
      ['', 'containment', 'unit', 'calls', 'a unit', 'budget'],
      rows.map(({ cells }) => cells),
    );
    if (rows.some(({ kept }) => !kept)) process.exitCode = 1;
    await countInstructions(floor);
  } finally {
    rmSync(floor.folder, { recursive: true, force: true });
  }
}
