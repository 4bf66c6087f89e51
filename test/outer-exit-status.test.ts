// The outer world sees the supervisor's true end, with and without groups that have to be torn down on the way.
import { beforeAll, describe, expect, it } from 'vitest';
import { inLanes, resultOf } from './support/lanes.js';
import { alive, killMarked, newMark, waitUntil } from './support/oracle.js';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const ends: [name: string, source: string, code: number | null, signal: NodeJS.Signals | null][] = [
  ['return', '', 0, null],
  ['process.exitCode', 'process.exitCode = 3;', 3, null],
  ['process.exit(0)', 'process.exit(0);', 0, null],
  ['process.exit(5)', 'process.exit(5);', 5, null],
  ['process.exit(255)', 'process.exit(255);', 255, null],
  ['a throw', "throw new Error('thrown on purpose');", 1, null],
  ['a throw in a later turn', "setImmediate(() => { throw new Error('thrown on purpose'); });", 1, null],
  ['an unhandled rejection', "Promise.reject(new Error('rejected on purpose'));", 1, null],
  [
    'an uncaught exception with an own status',
    "process.on('uncaughtException', () => process.exit(42)); throw 1;",
    42,
    null,
  ],
  ['an exit code set in an exit handler', "process.on('exit', () => { process.exitCode = 6; });", 6, null],
  ['process.exit in an exit handler', "process.on('exit', () => process.exit(9));", 9, null],
  ['process.exit(0) in an exit handler after a throw', "process.on('exit', () => process.exit(0)); throw 1;", 0, null],
  ['an unsettled top-level await', 'await new Promise(() => { group?.unref(); });', 13, null],
  [
    'SIGTERM',
    "process.kill(process.pid, 'SIGTERM'); await new Promise(() => setInterval(() => {}, 1e6));",
    null,
    'SIGTERM',
  ],
  [
    'SIGINT',
    "process.kill(process.pid, 'SIGINT'); await new Promise(() => setInterval(() => {}, 1e6));",
    null,
    'SIGINT',
  ],
  [
    'SIGHUP',
    "process.kill(process.pid, 'SIGHUP'); await new Promise(() => setInterval(() => {}, 1e6));",
    null,
    'SIGHUP',
  ],
  ['SIGKILL', "process.kill(process.pid, 'SIGKILL');", null, 'SIGKILL'],
  ['abort()', 'process.abort();', null, 'SIGABRT'],
  [
    'SIGTERM handled',
    "process.once('SIGTERM', () => process.exit(7)); process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1e6);",
    7,
    null,
  ],
];

/** A group whose leader exits on SIGTERM and whose other member ignores it: the exit has to wait, and to kill. */
const held = `
  const group = await spawn(member, ['grandchild-ignores-term'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    exitGraceMs: 100,
    teardown: [{ signal: 'SIGTERM', graceMs: 300 }],
  });
  await readReady(group.stdout);
  group.stdout.destroy();
  group.unref();
`;

// No core files: abort() is one of the ends.
const noCore = ['sh', '-c', 'ulimit -c 0; exec "$@"', 'sh'];

const options = { via: noCore, timeoutMs: 30_000 };

/** One end, without a group and with one; and who of the group was left right after that. */
async function see([, source, , signal]: (typeof ends)[number]) {
  const mark = newMark();
  try {
    const env = { ...process.env, ...mark.env };
    const without = await runNode({ source: `const group = null; ${source}` }, { ...options, env, bare: true });
    const withGroup = await runNode({ source: held + source }, { ...options, env });
    // Death by a signal runs no hook: the guardian has to find out.
    if (signal !== null) await waitUntil(() => alive(mark.id).length === 0).catch(() => {});
    return { without, withGroup, left: alive(mark.id) };
  } finally {
    killMarked(mark.id);
  }
}

describe('S7 the outer world sees the true end', () => {
  useScenario();
  let seen: PromiseSettledResult<Awaited<ReturnType<typeof see>>>[] = [];
  beforeAll(async () => {
    seen = await inLanes(3, ends, see);
  }, 300_000);

  it.each(ends.map(([name, , code, signal], i) => ({ name, code, signal, i })))('S7 $name', ({ code, signal, i }) => {
    const { without, withGroup, left } = resultOf(seen[i]);
    expect({ code: without.code, signal: without.signal }, 'control: without a group').toEqual({ code, signal });
    expect({ code: withGroup.code, signal: withGroup.signal }, withGroup.stderr).toEqual({ code, signal });
    expect(withGroup.ms, 'bounded').toBeLessThan(15_000);
    expect(left, 'nobody is left').toEqual([]);
  });
});
