// The drop-in leaves nothing behind: descriptors, threads, zombies, memory; nor does a worker that is terminated among its
// children.
import { describe, expect, it } from 'vitest';
import { nodes, versionOf } from './support/drop-in/compare.js';
import { dist } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

interface Look {
  fds: number;
  threads: number;
  zombies: number;
}

describe.each(nodes)('what is left on %s', (node) => {
  const scenario = useScenario();
  const load = `
    const cp = (await import(${JSON.stringify(`${dist}child-process.js`)})).default;
    const { once } = await import('node:events');
    const look = () => ({ fds: oracle.openFds().length, threads: oracle.steadyThreads(), zombies: oracle.zombieChildrenOf().length });
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const closed = (child) => new Promise((resolve) => child.on('error', () => {}).on('close', resolve));
  `;
  const kinds: [name: string, one: string, count: number][] = [
    [
      'children of every kind',
      `
      const kind = i % 6;
      if (kind === 0) await closed(cp.spawn(member, ['exit', '0'], { stdio: 'ignore' }));
      else if (kind === 1) await closed(cp.spawn(member, ['print', '100', '100']));
      else if (kind === 2) await closed(cp.spawn('no-such-program', [], { stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'ipc'] }));
      else if (kind === 3) try { cp.spawn('true', [], { stdio: ['pipe', 'pipe', 999] }); } catch {}
      else if (kind === 4) { const child = cp.spawn(member, ['sleep']); child.kill('SIGKILL'); await closed(child); }
      else await new Promise((resolve) => cp.execFile(member, ['exit', '1'], resolve));`,
      1200,
    ],
    [
      'contained children',
      `
      const child = cp.spawn(member, ['exit', '0'], { containment: 'tree', stdio: i % 2 ? 'pipe' : 'ignore' });
      await closed(child);
      if (i % 3 === 0) await child.stop();`,
      300,
    ],
  ];

  for (const [name, one, count] of kinds) {
    it(`${name}${versionOf(node)}`, async () => {
      const seen = await runNodeJson<{ before: Look; after: Look; heap: number[] }>(
        {
          source: `${load}
          let left = 0;
          const lane = async () => { while (left > 0) { const i = left--; ${one} } };
          const run = (total) => { left = total; return Promise.all(Array.from({ length: 8 }, lane)); };
          await run(200);
          await oracle.waitUntil(() => oracle.childrenOf().length === 0);
          await turn();
          const before = look();
          const heap = [];
          for (let part = 0; part < 4; part++) {
            await run(${Math.ceil(scaled(count) / 4)});
            await turn();
            globalThis.gc();
            heap.push(process.memoryUsage().heapUsed);
          }
          for (const end = Date.now() + 5000; look().fds > before.fds && Date.now() < end; ) await turn();
          console.log(JSON.stringify({ before, after: look(), heap }));`,
        },
        { env: scenario.env, node, nodeArgs: ['--expose-gc'], timeoutMs: 120_000 },
      );
      expect(seen.after).toEqual(seen.before);
      const [first = 0, , , last = 0] = seen.heap;
      // A child that were kept would be some kilobytes.
      expect((last - first) / scaled(count), `${seen.heap}`).toBeLessThan(500);
    }, 150_000);
  }

  it(`a worker that is terminated at any moment${versionOf(node)}`, async () => {
    const worker = `
      import { spawn, execFile } from ${JSON.stringify(`file://${dist}child-process.js`)};
      import { parentPort } from 'node:worker_threads';
      for (;;) {
        const child = spawn('cat', [], { stdio: ['pipe', 'pipe', 'ignore'] });
        child.stdin.end('x');
        child.on('exit', () => {});
        spawn('no-such-program').on('error', () => {});
        execFile('true', () => {});
        parentPort.postMessage(child.pid);
        await new Promise((resolve) => setImmediate(resolve));
      }`;
    const seen = await runNodeJson<{ before: Look; after: Look; errors: string[] }>(
      {
        source: `${load}
        const { Worker } = await import('node:worker_threads');
        const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(worker)}));
        await closed(cp.spawn('true'));
        const errors = [];
        const round = async (i) => {
          const worker = new Worker(url);
          worker.on('error', (error) => errors.push(String(error)));
          let messages = 0;
          await new Promise((resolve) => worker.on('message', () => { if (++messages > i % 5) resolve(); }).on('exit', resolve));
          const end = performance.now() + Math.random();
          while (performance.now() < end);
          await worker.terminate();
        };
        for (let i = 0; i < 5; i++) await round(i);
        await turn();
        const before = look();
        for (let i = 0; i < ${scaled(60)}; i++) await round(i);
        await oracle.waitUntil(() => oracle.childrenOf().length === 0);
        for (const end = Date.now() + 5000; look().fds > before.fds && Date.now() < end; ) await turn();
        console.log(JSON.stringify({ before, after: look(), errors }));`,
      },
      { env: scenario.env, node, timeoutMs: 120_000 },
    );
    expect(seen.errors).toEqual([]);
    expect(seen.after.zombies).toBe(0);
    expect(seen.after.fds).toBeLessThanOrEqual(seen.before.fds);
    expect(scenario.alive()).toEqual([]);
  }, 150_000);
});
