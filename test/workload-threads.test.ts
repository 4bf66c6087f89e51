// Launching from a process with busy threads, and from threads that are ended meanwhile.
import { describe, expect, it } from 'vitest';
import { dist, root } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { workloads } from './support/workloads.js';

const scenario = useScenario();

describe('T1 runWorkload() beside 22 busy threads', () => {
  it('T1: no run hangs or fails; no descriptor, zombie or process is left', async () => {
    const count = scaled(60);
    const answer = await runNodeJson<{ right: number; failures: string[]; left: object; rounds: number[] }>(
      {
        source: `
          const { Worker } = await import('node:worker_threads');
          const { once } = await import('node:events');
          const { runWorkload, WorkloadPool } = await import(paths.dist + 'workload.js');
          const module = ${JSON.stringify(workloads.href)};
          const busy = 'file://${root}examples/incident-2-threaded-launch/busy.mjs';
          const workers = Array.from({ length: 22 }, () => new Worker(new URL(busy), { execArgv: [] }));
          await Promise.all(workers.map((worker) => once(worker, 'message')));
          const pool = new WorkloadPool({ size: 1 });
          await Promise.all([runWorkload(module, 1), pool.run(module, 1)]);
          const fds = () => oracle.openFds().filter(({ target }) => !target.startsWith('socket:')).length;
          const before = fds();
          const failures = [];
          let right = 0;
          let left = Number(process.argv.at(-1));
          const lane = async () => {
            while (left-- > 0) {
              const payload = { left, filler: Buffer.alloc(100_000, left) };
              const run = left % 3 ? runWorkload(module, payload) : pool.run(module, payload);
              const back = await run.catch((error) => { failures.push(String(error)); return {}; });
              if (back.left === payload.left && back.filler.equals(payload.filler)) right++;
            }
          };
          await Promise.all(Array.from({ length: 6 }, lane));
          await pool.close();
          await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
          const after = { fds: Math.max(0, fds() - before), zombies: oracle.zombieChildrenOf().length, children: oracle.childrenOf().length };
          const ends = workers.map((worker) => once(worker, 'message'));
          for (const worker of workers) worker.postMessage('stop');
          const rounds = (await Promise.all(ends)).map(([done]) => done.rounds);
          console.log(JSON.stringify({ right, failures, left: after, rounds }));
          process.exit(0);`,
      },
      { args: [String(count)], env: scenario.env, timeoutMs: 240_000 },
    );
    expect(answer.failures).toEqual([]);
    expect(answer).toMatchObject({ right: count, left: { fds: 0, zombies: 0, children: 0 } });
    expect(answer.rounds).toHaveLength(22);
    expect(scenario.alive()).toEqual([]);
  }, 300_000);

  it('T7: Worker.terminate() while runs are under way: nothing is left, other threads go on', async () => {
    const thread = `
      import { parentPort } from 'node:worker_threads';
      import { runWorkload } from 'file://${dist}workload.js';
      const lane = async () => {
        for (let i = 0; ; i++) {
          const value = await runWorkload('${workloads.href}', i);
          if (value !== i) throw new Error('wrong value');
          parentPort.postMessage(i);
        }
      };
      await Promise.all([lane(), lane()]);`;
    const answer = await runNodeJson<{ own: number; errors: string[]; children: number }>(
      {
        source: `
          const { Worker } = await import('node:worker_threads');
          const { once } = await import('node:events');
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(thread)}));
          const errors = [];
          let own = 0;
          for (let round = 0; round < Number(process.argv.at(-1)); round++) {
            const worker = new Worker(url);
            worker.on('error', (error) => errors.push(String(error)));
            const other = runWorkload('${workloads.href}', round);
            await once(worker, 'message');
            const turns = Math.floor(Math.random() * 200);
            for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
            await worker.terminate();
            if ((await other) === round) own++;
          }
          await oracle.waitUntil(() => oracle.childrenOf().length === 0);
          console.log(JSON.stringify({ own, errors, children: oracle.childrenOf().length }));`,
      },
      { args: [String(scaled(15))], env: scenario.env, timeoutMs: 120_000 },
    );
    expect(answer).toEqual({ own: scaled(15), errors: [], children: 0 });
    expect(scenario.alive()).toEqual([]);
  }, 150_000);
});
