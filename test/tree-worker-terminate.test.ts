// T7 under containment `tree`: Worker.terminate() while guardians start, run and tear down. `npm run test:long` runs a
// thousand rounds.
import { expect, it } from 'vitest';
import { isDead } from './support/oracle.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { treeactor } from './support/trees.js';

const scenario = useScenario();

// One Environment: trees running, ending, being torn down and starting when it is terminated.
const worker = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.dist + 'index.js').then(async ({ spawn }) => {
    const { member, treeactor, env } = workerData;
    const options = { containment: 'tree', stdio: ['pipe', 'pipe', 'ignore'], env, teardown: [{ signal: 'SIGTERM', graceMs: 20 }],
      exitGraceMs: 20 };
    parentPort.postMessage('loaded');
    const pending = [
      spawn(member, ['sleep'], options),
      spawn(treeactor, ['mixed'], options),
      spawn(member, ['leader-exits-first'], options),
      spawn(member, ['exit', '0'], options),
      spawn('/nowhere', [], options).catch(() => {}),
    ];
    parentPort.postMessage('spawning');
    const groups = (await Promise.all(pending)).filter(Boolean);
    parentPort.postMessage('spawned');
    groups[0].onStateChange(() => {});
    void groups[0].members();
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
  const mine = await spawn(${JSON.stringify(treeactor)}, ['mixed'], { containment: 'tree', env: { ...process.env, ...own.env } });
  await readReady(mine.stdout);
  let ended = 0;
  mine.onStateChange(({ state }) => { if (state !== 'running') ended += 1; });
  const stages = ['loaded', 'spawning', 'spawned', 'stopping', 'stopped'];
  const code = ${JSON.stringify(worker)};
  const treeactor = ${JSON.stringify(treeactor)};
  const workerData = { dist: paths.dist, member, treeactor, env: { ...process.env, ...theirs.env } };
  const errors = [];
  const round = async (i) => {
    const worker = new Worker(code, { eval: true, execArgv: [], workerData, stdout: true, stderr: true });
    const stage = stages[i % stages.length];
    await new Promise((resolve) => {
      worker.on('message', (at) => at === stage && resolve()).on('exit', resolve);
      worker.on('error', (error) => { errors.push(String(error)); resolve(); });
    });
    const end = performance.now() + Math.random() * 2;
    while (performance.now() < end);
    await worker.terminate();
  };
  const quiet = () => oracle.alive(theirs.id).length === 0 && oracle.zombieChildrenOf().length === 0;
  const run = async (rounds) => {
    let next = 0;
    const lane = async () => { while (next < rounds) await round(next++); };
    await Promise.all([lane(), lane(), lane()]);
    await oracle.waitUntil(quiet, { what: 'nothing of a terminated worker is alive or a zombie' });
  };
  const look = () => ({ fds: oracle.openFds().length, threads: oracle.steadyThreads() });
  await run(12);
  const before = look();
  await run(${rounds});
  // Descriptors of the last round are closed a moment after its processes are gone.
  await oracle.waitUntil(() => look().fds <= before.fds, { what: 'no descriptor is left' });
  const after = look();
  const untouched = { state: mine.state, ended, alive: oracle.alive(own.id).length };
  const report = await mine.stop();
  console.log(JSON.stringify({ before, after, errors, untouched, empty: report.empty, left: oracle.alive(own.id).length }));`,
});

it('T7: Worker.terminate() while trees start, end and are torn down: no crash, no orphan, no zombie', async () => {
  const run = await runNodeJson<{ before: { threads: number }; after: { threads: number } }>(subject(scaled(200)), {
    env: scenario.env,
    timeoutMs: 290_000,
  });
  expect(run.after.threads).toBe(run.before.threads);
  // Ours: the guardian, the leader and its four members.
  expect(run).toMatchObject({ errors: [], empty: true, left: 0, untouched: { state: 'running', ended: 0, alive: 6 } });
}, 300_000);

it('T7: control: what child_process starts in a terminated worker lives on, and the oracle sees it', async () => {
  scenario.leaves();
  const source = `
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads');
      const child = require('node:child_process').spawn(workerData, ['mixed'], { stdio: 'ignore', detached: true });
      parentPort.postMessage(child.pid);\`, { eval: true, execArgv: [], workerData: ${JSON.stringify(treeactor)} });
    const pid = await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    console.log(pid);`;
  const run = await runNode({ source }, { env: scenario.env });
  expect(isDead(Number(run.stdout))).toBe(false);
  expect(scenario.alive().length).toBeGreaterThan(0);
});
