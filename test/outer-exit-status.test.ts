// The outer world sees the supervisor's true end, with and without groups that have to be torn down on the way.
import { describe, expect, it } from 'vitest';
import { waitUntil } from './support/oracle.js';
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
  });
  await readReady(group.stdout);
  group.stdout.destroy();
  group.unref();
`;

// No core files: abort() is one of the ends.
const noCore = ['sh', '-c', 'ulimit -c 0; exec "$@"', 'sh'];

describe('S7 the outer world sees the true end', () => {
  const scenario = useScenario();

  for (const [name, source, code, signal] of ends) {
    it(`S7 ${name}`, async () => {
      const options = { env: scenario.env, via: noCore, timeoutMs: 30_000 };
      const without = await runNode({ source: `const group = null; ${source}` }, options);
      expect({ code: without.code, signal: without.signal }, 'control: without a group').toEqual({ code, signal });
      const withGroup = await runNode({ source: held + source }, options);
      expect({ code: withGroup.code, signal: withGroup.signal }, withGroup.stderr).toEqual({ code, signal });
      expect(withGroup.ms, 'bounded').toBeLessThan(15_000);
      if (signal === null) {
        expect(scenario.alive(), 'an orderly end leaves nobody').toEqual([]);
        return;
      }
      // Death by a signal runs no hook: the leader dies by its parent-death signal, the rest is for `tree`.
      await waitUntil(() => scenario.alive().length <= 1);
      scenario.leaves();
    });
  }
});
