// Prewarmed processes: ready before they are needed, one run each, gone with the pool, no reason for the loop to stay.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { channels, type ExitMessage } from '../dist/index.js';
import { WorkloadError, WorkloadPool, type WorkloadPoolOptions } from '../dist/workload.js';
import { isDead, waitUntil } from './support/oracle.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { type AnyRun, rejection, workloads } from './support/workloads.js';

const scenario = useScenario();
/** The Nodes of this test; the guardian between each and us has the same words behind its own name. */
const nodes = () =>
  scenario
    .alive()
    .filter(({ cmdline }) => cmdline.includes('workload-runner') && !cmdline.startsWith('procgroup-guardian'))
    .map(({ pid }) => pid);

function open(options: WorkloadPoolOptions = {}): WorkloadPool {
  const pool = new WorkloadPool({ env: scenario.env, ...options });
  scenario.defer(() => pool.close());
  return pool;
}
const run = (pool: WorkloadPool, exportName: string, payload?: unknown, options = {}): AnyRun =>
  pool.run(workloads, payload, { exportName, ...options });

describe('a pool', () => {
  it('H1: starts nothing before it is asked to', async () => {
    open({ size: 4 });
    expect(nodes()).toEqual([]);
    const busy = open({ size: 2 });
    await busy.ready();
    expect(nodes(), 'control').toHaveLength(2);
  });

  it('runs in a process that was ready, each once, and replaces it', async () => {
    const pool = open({ size: 2 });
    await pool.ready();
    const first = nodes();
    const used = [(await run(pool, 'self')).pid, (await run(pool, 'self')).pid];
    expect(first).toEqual(expect.arrayContaining(used));
    expect(new Set(used).size).toBe(2);
    await pool.ready();
    const second = nodes();
    expect(second).toHaveLength(2);
    expect(second.filter((pid) => first.includes(pid))).toEqual([]);
    await pool.close();
    expect(nodes()).toEqual([]);
  });

  it('more runs than processes: the others start their own', async () => {
    const pool = open({ size: 1 });
    const values = await Promise.all(Array.from({ length: 6 }, (_, i) => run(pool, 'default', i)));
    expect(values).toEqual([0, 1, 2, 3, 4, 5]);
    const none = open({ size: 0 });
    await none.ready();
    expect(await run(none, 'default', 'x')).toBe('x');
  });

  it('has imported what it was told to before it is ready', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-pool-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    const module = join(folder, 'heavy.mjs');
    writeFileSync(module, 'const loaded = process.hrtime.bigint(); export default (asked) => loaded < asked;');
    const pool = open({ preload: [module] });
    await pool.ready();
    expect(await pool.run(module, process.hrtime.bigint())).toBe(true);
    const cold = open();
    await cold.ready();
    expect(await cold.run(module, process.hrtime.bigint()), 'control').toBe(false);
  });

  it('errors, deaths, aborts and progress are those of runWorkload', async () => {
    const pool = open({ size: 2 });
    await pool.ready();
    expect(await rejection(run(pool, 'throws', 'fields'))).toMatchObject({ name: 'Refused', status: 403 });
    expect(await rejection(run(pool, 'exits', 3))).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: 3 } });
    const controller = new AbortController();
    const held = run(pool, 'hold', 'x', { signal: controller.signal, abortGraceMs: 10 });
    for await (const _ of held.progress) {
      controller.abort();
      break;
    }
    expect(await rejection(held)).toMatchObject({ code: 'ABORT_ERR' });
    expect(await rejection(run(pool, 'busy', 1, { timeoutMs: 300, abortGraceMs: 10 }))).toMatchObject({
      code: 'ERR_WORKLOAD_TIMEOUT',
    });
    expect(await rejection(run(pool, 'default', () => {}))).toMatchObject({ code: 'ERR_WORKLOAD_UNCLONEABLE' });
    await waitUntil(() => nodes().length === 2);
  });

  it('one whose preload cannot be loaded says so, at ready() and at run(), and is not started again and again', async () => {
    const pool = open({ preload: ['/no/such/module.mjs'] });
    expect(await rejection(pool.ready())).toMatchObject({ code: 'ERR_WORKLOAD_LOAD' });
    expect(await rejection(run(pool, 'default', 1))).toMatchObject({ code: 'ERR_WORKLOAD_LOAD' });
    await waitUntil(() => nodes().length === 0);
  });

  it('one that cannot be started says so', async () => {
    const pool = open({ execPath: '/no/such/node' });
    expect(await rejection(pool.ready())).toMatchObject({ code: 'ENOENT' });
    expect(await rejection(run(pool, 'default', 1))).toMatchObject({ code: 'ENOENT' });
  });

  it('one that is never ready: startMs', async () => {
    const pool = open({ preload: ['data:text/javascript,for(;;);'], startMs: 300 });
    expect(await rejection(pool.ready())).toMatchObject({ code: 'ERR_WORKLOAD_START_TIMEOUT' });
  });

  it('an idle process that is killed is not used', async () => {
    const pool = open({ size: 1 });
    await pool.ready();
    const [pid = 0] = nodes();
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isDead(pid));
    // The news of its end may come after the call.
    const told = run(pool, 'default', 1).catch((error) => {
      expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { signal: 'SIGKILL' } });
      return run(pool, 'default', 1);
    });
    expect(await told).toBe(1);
  });
});

it('an idle process whose end has been told is not used', async () => {
  const pool = open({ size: 1 });
  await pool.ready();
  const [pid = 0] = nodes();
  const value = new Promise((resolve, reject) => {
    const told = ({ group }: ExitMessage) => {
      if (group.pid !== pid) return;
      channels.exit.unsubscribe(told);
      run(pool, 'default', 1).then(resolve, reject);
    };
    channels.exit.subscribe(told);
  });
  process.kill(pid, 'SIGKILL');
  expect(await value).toBe(1);
});

describe('its end', () => {
  it('close() ends idle ones and runs under way, is idempotent, and refuses what comes later', async () => {
    const pool = open({ size: 2 });
    await pool.ready();
    const held = run(pool, 'hold', 'x');
    const failed = rejection(held);
    for await (const _ of held.progress) break;
    await Promise.all([pool.close(), pool.close()]);
    expect(nodes()).toEqual([]);
    const error = await failed;
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_POOL_CLOSED', exit: { signal: 'SIGTERM' } });
    expect(await rejection(run(pool, 'default', 1))).toMatchObject({ code: 'ERR_WORKLOAD_POOL_CLOSED' });
    expect(await rejection(pool.ready())).toMatchObject({ code: 'ERR_WORKLOAD_POOL_CLOSED' });
    await pool[Symbol.asyncDispose]();
  });

  it('close() ends a run whose progress nobody takes any more', async () => {
    const pool = open();
    const held = run(pool, 'pour', { times: 1e6, size: 1_000 });
    const reader = held.progress[Symbol.asyncIterator]();
    await reader.next();
    const failed = rejection(held);
    await pool.close();
    expect(await failed).toMatchObject({ code: 'ERR_WORKLOAD_POOL_CLOSED' });
    expect(await rejection(reader.next())).toMatchObject({ code: 'ERR_WORKLOAD_POOL_CLOSED' });
  });

  it('close() settles where nothing else keeps the event loop alive', async () => {
    const answer = await runNodeJson<{ closed: number; children: number }>(
      {
        source: `
          const { WorkloadPool } = await import(paths.dist + 'workload.js');
          let closed = 0;
          for (let i = 0; i < 8; i++) {
            const pool = new WorkloadPool({ size: 2 });
            await pool.ready();
            await pool.close();
            closed++;
          }
          console.log(JSON.stringify({ closed, children: oracle.childrenOf().length }));`,
      },
      { env: scenario.env },
    );
    expect(answer).toEqual({ closed: 8, children: 0 });
  });

  it('close() while its processes are being started', async () => {
    for (let round = 0; round < scaled(40); round++) {
      const pool = open({ size: 3 });
      const ready = pool.ready().catch((error) => error);
      const turns = Math.floor(Math.random() * 20);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      await pool.close();
      await ready;
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('idle processes do not keep the event loop alive, and go with it', async () => {
    const source = `
      const { WorkloadPool } = await import(paths.dist + 'workload.js');
      const pool = new WorkloadPool({ size: 2 });
      await pool.ready();
      console.log(await pool.run(${JSON.stringify(workloads.href)}, 'value'));
      process.exitCode = 5;`;
    const { code, stdout, stderr } = await runNode({ source }, { env: scenario.env, timeoutMs: 20_000 });
    expect([code, stdout, stderr]).toEqual([5, 'value\n', '']);
    expect(scenario.alive()).toEqual([]);
  });

  it('control: a run under way does keep it alive', async () => {
    const source = `
      const { WorkloadPool } = await import(paths.dist + 'workload.js');
      const pool = new WorkloadPool({ size: 1 });
      await pool.ready();
      pool.run(${JSON.stringify(workloads.href)}, 700, { exportName: 'slowValue' }).then(console.log);`;
    const { code, stdout } = await runNode({ source }, { env: scenario.env });
    expect([code, stdout]).toEqual([0, 'slow\n']);
  });

  it('idle processes go with an owner that is killed', async () => {
    const source = `
      const { WorkloadPool } = await import(paths.dist + 'workload.js');
      const pool = new WorkloadPool({ size: 3 });
      await pool.ready();
      process.kill(process.pid, 'SIGKILL');`;
    const { signal } = await runNode({ source }, { env: scenario.env });
    expect(signal).toBe('SIGKILL');
    await waitUntil(() => scenario.alive().length === 0);
  });
});

it('descriptors, threads, zombies, listeners and timers are flat over many runs, pooled and not', async () => {
  const answer = await runNodeJson<{ before: object; after: object; peers: string[] }>(
    {
      source: `
        const { runWorkload, WorkloadPool } = await import(paths.dist + 'workload.js');
        const module = ${JSON.stringify(workloads.href)};
        const controller = new AbortController();
        const listeners = (await import('node:events')).getEventListeners;
        const look = () => ({ fds: oracle.openFds().length, threads: oracle.steadyThreads(), zombies: oracle.zombieChildrenOf().length,
          children: oracle.childrenOf().length, listeners: listeners(controller.signal, 'abort').length,
          resources: process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap').length });
        const peers = [];
        process.on('warning', (warning) => peers.push(String(warning)));
        const one = async (i, run) => {
          const kinds = ['default', 'throws', 'exits', 'count', 'bytes'];
          const exportName = kinds[i % kinds.length];
          const payload = { default: i, throws: 'fields', exits: 3, count: 3, bytes: 200_000 }[exportName];
          await run(module, payload, { exportName, signal: controller.signal, timeoutMs: 60_000 }).catch((error) => error);
        };
        const rounds = async (count) => {
          const pool = new WorkloadPool({ size: 2 });
          let left = count;
          const lane = async () => { while (left-- > 0) await one(left, left % 2 ? runWorkload : pool.run.bind(pool)); };
          await Promise.all([lane(), lane(), lane()]);
          await pool.close();
          await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
        };
        await rounds(6);
        const before = look();
        await rounds(Number(process.argv.at(-1)));
        console.log(JSON.stringify({ before, after: look(), peers }));`,
    },
    { args: [String(scaled(60))], env: scenario.env, timeoutMs: 120_000 },
  );
  expect(answer.after).toEqual(answer.before);
  expect(answer.peers).toEqual([]);
}, 150_000);
