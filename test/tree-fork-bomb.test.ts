// What multiplies is brought to zero. The bomb runs under a uid of its own, whose RLIMIT_NPROC bounds it (root is not bound
// by one): it says ready only after that limit refused a fork. The chain is bounded in generations.
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { asBombUid, bombIdentity, killBombUid, ofBombUid, sharedFile } from './support/many.js';
import { waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startTree, stepSignals, treeactor } from './support/trees.js';
import { whyNoMixedUids } from './support/unprivileged.js';

const BOUND_MS = allowance(5_000);
const teardown = [{ signal: 'SIGTERM', graceMs: 50 }] as const;
const gone = { empty: true, cause: 'stop', evidence: 'echild', covers: 'tree', survivors: [] };

const reason = whyNoMixedUids();
if (reason) process.stderr.write(`tree-fork-bomb: the bomb is skipped, ${reason}\n`);

describe.skipIf(reason !== '')('E2: a fork bomb', () => {
  const scenario = useScenario();

  it('E2: bounded at 500 processes, is at zero within 5 s', async () => {
    const shared = sharedFile(scenario);
    scenario.defer(killBombUid);
    const { group } = await startTree(scenario, 'treeactor', ['bomb', shared.path, '520'], {
      teardown,
      killWaitMs: allowance(2_000),
      ...bombIdentity,
      rlimits: { nproc: 500 },
    });
    expect(shared.limit(), 'the limit refused the next fork').toBe(499);
    await waitUntil(() => shared.count() >= 505, { what: 'it goes on where a process has ended' });
    expect(ofBombUid().length, 'a look that takes a while, at what never stands still').toBeGreaterThan(300);
    const began = performance.now();
    const report = await group.stop();
    expect(performance.now() - began).toBeLessThan(BOUND_MS);
    expect(report).toMatchObject(gone);
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(ofBombUid()).toEqual([]);
    expect(scenario.alive()).toEqual([]);
    expect(shared.count(), 'it was not at the end of its own bound').toBeLessThan(30_000);
  });

  it('E2: control: containment group leaves the bomb', async () => {
    const shared = sharedFile(scenario);
    scenario.leaves();
    scenario.defer(killBombUid);
    const source = `
      const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'bomb', ${JSON.stringify(shared.path)}, '120'], {
        containment: 'group', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], rlimits: { nproc: 100 },
        teardown: [{ signal: 'SIGTERM', graceMs: 50 }],
      });
      await readReady(group.stdio[3]);
      const report = await group.stop();
      console.log('ready ' + JSON.stringify({ empty: report.empty }));
      process.exit(0);`;
    const subject = startNode({ source }, { env: scenario.env, via: asBombUid });
    subject.stderr?.pipe(process.stderr);
    const said = await readReady<{ empty: boolean }>(subject.stdout ?? expect.fail('no stdout'));
    expect(said).toEqual({ empty: true });
    await waitUntil(() => subject.exitCode !== null);
    expect(ofBombUid().length).toBeGreaterThan(50);
    killBombUid();
    await waitUntil(() => ofBombUid().length === 0, { what: 'the bomb is cleaned up' });
  });
});

describe('E2: a chain that forks and exits', () => {
  const scenario = useScenario();

  it('E2: as fast as it can, is at zero within 5 s', async () => {
    const generations = 20_000;
    for (let round = 0; round < 3; round++) {
      const shared = sharedFile(scenario);
      scenario.defer(shared.stop);
      const { group } = await startTree(scenario, 'treeactor', ['chain', shared.path, String(generations), '0'], {
        teardown: [],
      });
      await waitUntil(() => shared.count() > 20, { everyMs: 1 });
      const began = performance.now();
      const report = await group.stop();
      expect(performance.now() - began).toBeLessThan(BOUND_MS);
      expect(report).toMatchObject(gone);
      const count = shared.count();
      expect(count, 'it had not come to its own end').toBeLessThan(generations);
      expect(scenario.alive()).toEqual([]);
      // Of a chain that goes on each generation takes microseconds.
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(shared.count(), 'nobody is left to count').toBe(count);
    }
  });

  it('E2: control: containment group leaves it, and it goes on', async () => {
    const shared = sharedFile(scenario);
    scenario.leaves();
    scenario.defer(shared.stop);
    const { group } = await startTree(scenario, 'treeactor', ['chain', shared.path, '2000', '2000'], {
      teardown: [],
      containment: 'group',
    });
    expect(await group.stop()).toMatchObject({ empty: true, covers: 'group' });
    const count = shared.count();
    await waitUntil(() => shared.count() > count + 5, { what: 'it goes on' });
    shared.stop();
    await waitUntil(() => scenario.alive().length === 0, { what: 'it has ended' });
  });
});

describe('E2: who is bound', () => {
  const scenario = useScenario();

  it('E2: control: root is not bound by RLIMIT_NPROC, and the actor says so instead of forking on', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('needs root');
    const shared = sharedFile(scenario);
    const child = spawn('prlimit', ['--nproc=20', treeactor, 'bomb', shared.path, '40'], {
      env: scenario.env,
      stdio: 'pipe',
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    await waitUntil(() => scenario.alive().length === 0, { what: 'its children have ended' });
    expect(code).toBe(120);
    expect(text).toContain('the limit refuses no fork');
  });
});
