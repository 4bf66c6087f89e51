// The addon loaded only in a Worker that ends: its code stays mapped while the engine's threads run.

import { execFile } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { subjectEnv } from './support/environment.mjs';
import { dist, member, root } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const begin = `
  const { spawn, attach } = await import(${JSON.stringify(`file://${dist}index.js`)});
  const { parentPort } = await import('node:worker_threads');
  const member = ${JSON.stringify(member)};
`;

const bodies: [name: string, body: string, end: 'terminate' | 'exit'][] = [
  ['imported and terminated', "parentPort.postMessage('up'); setInterval(() => {}, 1e6);", 'terminate'],
  ['imported and ended by itself', "parentPort.postMessage('up');", 'exit'],
  [
    'a group that is gone, terminated',
    "await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone; parentPort.postMessage('up'); setInterval(() => {}, 1e6);",
    'terminate',
  ],
  [
    'a group that lives, terminated',
    "await spawn(member, ['sleep'], { stdio: 'ignore' }); parentPort.postMessage('up');",
    'terminate',
  ],
  [
    'spawns in flight, terminated',
    "for (let i = 0; i < 30; i++) spawn(member, ['sleep'], { stdio: 'ignore' }).catch(() => {}); parentPort.postMessage('up');",
    'terminate',
  ],
  [
    'a teardown in flight, terminated',
    "const g = await spawn(member, ['ignore-term'], { stdio: 'ignore' }); g.stop(); parentPort.postMessage('up');",
    'terminate',
  ],
  [
    'process.exit() in the worker',
    "await spawn(member, ['sleep'], { stdio: 'ignore' }); parentPort.postMessage('up'); process.exit(0);",
    'exit',
  ],
];

describe('the addon loaded only in a worker', () => {
  const scenario = useScenario();

  /** The main thread of this subject never loads the package. */
  function run(
    source: string,
  ): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      const args = ['--input-type=module', '-e', source];
      const child = execFile(
        process.execPath,
        args,
        { cwd: root, env: subjectEnv(scenario.env), timeout: 60_000, killSignal: 'SIGKILL' },
        (_error, stdout, stderr) => resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr }),
      );
    });
  }

  for (const [name, body, end] of bodies) {
    it(`worker-only: ${name}`, async () => {
      const ended = await run(`
        import { Worker } from 'node:worker_threads';
        import { once } from 'node:events';
        const source = 'data:text/javascript,' + encodeURIComponent(${JSON.stringify(begin + body)});
        for (let round = 0; round < 5; round++) {
          const worker = new Worker(new URL(source));
          const exit = once(worker, 'exit');
          await once(worker, 'message');
          ${end === 'terminate' ? 'await worker.terminate();' : ''}
          await exit;
        }
        console.log('main is done');`);
      expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null, stdout: 'main is done\n' });
      expect(scenario.alive()).toEqual([]);
    });
  }

  it('worker-only: the engine still serves a later worker and the main thread', async () => {
    const ended = await runNode(
      {
        source: `
          import { Worker } from 'node:worker_threads';
          import { once } from 'node:events';
          const source = 'data:text/javascript,' + encodeURIComponent(${JSON.stringify(
            `${begin} const g = await spawn(member, ['exit', '3'], { stdio: 'ignore' }); parentPort.postMessage((await g.exited).code);`,
          )});
          const codes = [];
          for (let round = 0; round < 3; round++) {
            const worker = new Worker(new URL(source));
            const exit = once(worker, 'exit');
            codes.push((await once(worker, 'message'))[0]);
            await exit;
          }
          codes.push((await (await spawn(member, ['exit', '4'], { stdio: 'ignore' })).exited).code);
          console.log(codes.join());`,
      },
      { env: scenario.env },
    );
    expect([ended.code, ended.stdout], ended.stderr).toEqual([0, '3,3,3,4\n']);
  });
});
