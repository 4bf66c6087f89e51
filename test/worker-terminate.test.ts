import { expect, it } from 'vitest';
import { isDead } from './support/oracle.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

// One Environment: some groups running, some ending, some being torn down, some spawns in flight, when it is terminated.
const worker = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.dist + 'index.js').then(async ({ spawn }) => {
    const { member, env } = workerData;
    const options = { containment: 'group', stdio: ['pipe', 'pipe', 'ignore'], env, teardown: [{ signal: 'SIGTERM', graceMs: 20 }] };
    parentPort.postMessage('loaded');
    const pending = [
      spawn(member, ['sleep'], options),
      spawn(member, ['wide', '2'], options),
      spawn(member, ['leader-exits-first'], options),
      spawn(member, ['exit', '0'], options),
      spawn('/nowhere', [], options).catch(() => {}),
    ];
    parentPort.postMessage('spawning');
    const groups = (await Promise.all(pending)).filter(Boolean);
    parentPort.postMessage('spawned');
    groups[0].onStateChange(() => {});
    const stops = [groups[1].stop(), groups[2].stop()];
    parentPort.postMessage('stopping');
    await Promise.all(stops);
    parentPort.postMessage('stopped');
  });`;

const subject = (rounds: number) => ({
  source: `
  const { Worker } = await import('node:worker_threads');
  const own = oracle.newMark();
  const theirs = oracle.newMark();
  const mine = await spawn(member, ['wide', '2'], { containment: 'group', env: { ...process.env, ...own.env } });
  await readReady(mine.stdout);
  let ended = 0;
  mine.onStateChange(({ state }) => { if (state !== 'running') ended += 1; });
  const stages = ['loaded', 'spawning', 'spawned', 'stopping', 'stopped'];
  const code = ${JSON.stringify(worker)};
  const workerData = { dist: paths.dist, member, env: { ...process.env, ...theirs.env } };
  const errors = [];
  const round = async (i) => {
    const worker = new Worker(code, { eval: true, execArgv: [], workerData, stdout: true, stderr: true });
    const stage = stages[i % stages.length];
    await new Promise((resolve) => {
      worker.on('message', (at) => at === stage && resolve()).on('exit', resolve);
      worker.on('error', (error) => { errors.push(String(error)); resolve(); });
    });
    // Within the stage, at some moment of its first millisecond.
    const end = performance.now() + Math.random();
    while (performance.now() < end);
    await worker.terminate();
  };
  const run = async (rounds) => {
    let next = 0;
    const lane = async () => { while (next < rounds) await round(next++); };
    await Promise.all([lane(), lane(), lane()]);
    await oracle.waitUntil(() => oracle.alive(theirs.id).length === 0 && oracle.zombieChildrenOf().length === 0,
      { what: 'nothing of a terminated worker is alive or a zombie' });
  };
  const look = () => ({ fds: oracle.openFds().length, threads: oracle.steadyThreads() });
  await run(12);
  const before = look();
  await run(${rounds});
  const after = look();
  const untouched = { state: mine.state, ended, alive: oracle.alive(own.id).length };
  const report = await mine.stop();
  console.log(JSON.stringify({ before, after, errors, untouched, empty: report.empty, left: oracle.alive(own.id).length }));`,
});

it('T7: Worker.terminate() while spawns, exits and teardowns are in flight: no crash, no orphan, no zombie', async () => {
  const run = await runNodeJson<{ before: unknown; after: unknown }>(subject(scaled(400)), {
    env: scenario.env,
    timeoutMs: 170_000,
  });
  expect(run.after).toEqual(run.before);
  expect(run).toMatchObject({ errors: [], empty: true, left: 0, untouched: { state: 'running', ended: 0, alive: 3 } });
}, 180_000);

it('T7: control: what child_process starts in a terminated worker lives on, and the oracle sees it', async () => {
  scenario.leaves();
  const source = `
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads');
      const child = require('node:child_process').spawn(workerData, ['sleep'], { stdio: 'ignore', detached: true });
      parentPort.postMessage(child.pid);\`, { eval: true, execArgv: [], workerData: member });
    const pid = await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    console.log(pid);`;
  const run = await runNode({ source }, { env: scenario.env });
  expect(isDead(Number(run.stdout))).toBe(false);
});

it('T7: the addon loaded only in a worker that is terminated, again and again', async () => {
  const source = `
    import { Worker } from 'node:worker_threads';
    import { member, dist } from '${new URL('./support/paths.mjs', import.meta.url)}';
    const code = ${JSON.stringify(worker)};
    for (let i = 0; i < ${scaled(20)}; i++) {
      const worker = new Worker(code, { eval: true, execArgv: [], workerData: { dist, member, env: process.env } });
      const stage = ['spawning', 'spawned', 'stopping'][i % 3];
      await new Promise((resolve) => worker.on('message', (at) => at === stage && resolve()));
      await worker.terminate();
    }
    console.log('end');`;
  const run = await runNode({ source }, { env: scenario.env, bare: true });
  expect(run).toMatchObject({ code: 0, signal: null, stdout: 'end\n', stderr: '' });
  expect(scenario.alive()).toEqual([]);
});

it('T7: a worker that ends by itself with groups running leaves none', async () => {
  const source = `
    const { Worker } = await import('node:worker_threads');
    const mark = oracle.newMark();
    const run = (end) => new Promise((resolve) => {
      new Worker(\`
        const { workerData } = require('node:worker_threads');
        import(workerData.dist + 'index.js').then(async ({ spawn }) => {
          const group = await spawn(workerData.member, ['wide', '3'], { containment: 'group', env: workerData.env });
          await new Promise((resolve) => group.stdout.once('data', resolve));
          \${end}
        });\`, { eval: true, execArgv: [], stderr: true, workerData: { dist: paths.dist, member, env: { ...process.env, ...mark.env } } })
        .on('exit', resolve).on('error', () => {});
    });
    const codes = [];
    for (const end of ['process.exit(3)', 'throw new Error("x")', 'group.unref(); group.stdout.destroy()']) {
      codes.push(await run(end));
      await oracle.waitUntil(() => oracle.alive(mark.id).length === 0);
    }
    console.log(JSON.stringify(codes));`;
  expect(await runNodeJson({ source }, { env: scenario.env })).toEqual([3, 1, 0]);
});
