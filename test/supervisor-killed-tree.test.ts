// Under containment `tree` the tree dies with its supervisor, however that ends; and the outer world sees how it ended.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { type End, ends, killed, wait } from './support/supervisor-ends.js';
import { treeactor } from './support/trees.js';

const GRACE_MS = 100;
const SLACK_MS = 1_000;
const subject = (containment: string, end: string) => `
  const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
    containment: '${containment}', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], exitGraceMs: ${GRACE_MS},
    teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }],
  });
  const { members } = await readReady(group.stdio[3]);
  group.stdio[3].destroy();
  nodeFs.writeSync(1, 'ready ' + JSON.stringify({ pid: group.pid, members }) + '\\n');
  ${end}`;

describe('S4: every end of the supervisor takes the tree with it', () => {
  const scenario = useScenario();

  async function endsWith(containment: string, { source, nodeArgs = [] }: End) {
    // No core files: some of the ends dump core.
    const via = ['sh', '-c', 'ulimit -c 0; exec "$@"', 'sh'];
    const node = startNode({ source: subject(containment, source) }, { env: scenario.env, nodeArgs, via });
    let stderr = '';
    node.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = once(node, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const { pid, members } = await readReady(node.stdout ?? expect.fail('no stdout'));
    const [code, signal] = await ended;
    return { code, signal, at: performance.now(), stderr, pids: [pid, ...members] };
  }

  for (const end of ends) {
    it(`S4, S7: ${end.name}`, async () => {
      const { code, signal, at, stderr } = await endsWith('tree', end);
      await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 20_000, what: 'nobody of the tree is left' });
      expect(performance.now() - at, 'from the end of the supervisor').toBeLessThan(GRACE_MS + SLACK_MS);
      expect({ code, signal }, stderr).toEqual({ code: end.code, signal: end.signal });
    });
  }

  for (const name of ['SIGKILL', 'abort()', 'V8 out of memory']) {
    it(`S4: control: ${name} under containment group leaves all but the leader`, async () => {
      scenario.leaves();
      const end = ends.find((one) => one.name === name) ?? expect.fail(name);
      const { pids } = await endsWith('group', end);
      const [leader, ...members] = pids;
      const left = () => scenario.alive().map(({ pid }) => pid);
      await waitUntil(() => !left().includes(leader ?? 0), { what: 'the leader dies by its parent-death signal' });
      expect(left().sort()).toEqual(members.sort());
    });
  }

  it('S4: the SIGKILL of the whole group that the supervisor is in does not reach the guardian', async () => {
    const node = startNode({ source: subject('tree', wait) }, { env: scenario.env, via: ['setsid'] });
    await readReady(node.stdout ?? expect.fail('no stdout'));
    process.kill(-(node.pid ?? expect.fail('no pid')), 'SIGKILL');
    await once(node, 'exit');
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 5_000 });
  });

  it('S4: a member gets its grace: it may tidy up after the SIGKILL of its supervisor', async () => {
    const script = `trap 'echo tidied >&3; exit 0' TERM; echo 'ready {"pid":'$$',"members":[]}' >&3; while :; do sleep 0.01; done`;
    const source = `
      const group = await spawn('/bin/sh', ['-c', ${JSON.stringify(script)}], {
        containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 1], teardown: [{ signal: 'SIGTERM', graceMs: 5000 }],
      });`;
    const node = startNode({ source }, { env: scenario.env });
    const stdout = node.stdout ?? expect.fail('no stdout');
    await readReady(stdout);
    let said = '';
    stdout.on('data', (chunk) => {
      said += chunk;
    });
    node.kill('SIGKILL');
    await once(node, 'close');
    expect(said).toBe('tidied\n');
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 5_000 });
  });

  it('S4: twenty trees of one supervisor go together', async () => {
    const source = `
      const options = { containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
        teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }] };
      await Promise.all(Array.from({ length: 20 }, async () => {
        const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], options);
        await readReady(group.stdio[3]);
      }));
      nodeFs.writeSync(1, 'ready {}\\n');
      ${killed('SIGKILL')}`;
    const node = startNode({ source }, { env: scenario.env });
    const ended = once(node, 'exit');
    await readReady(node.stdout ?? expect.fail('no stdout'));
    await ended;
    const at = performance.now();
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 20_000 });
    expect(performance.now() - at).toBeLessThan(GRACE_MS + 3 * SLACK_MS);
  });
});
