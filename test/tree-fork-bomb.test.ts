// What multiplies is brought to zero. The bomb runs under a uid of its own, whose RLIMIT_NPROC bounds it (root is not bound
// by one): it says ready only after that limit refused a fork. The chain is bounded in generations.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pids, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { type Scenario, useScenario } from './support/scenario.js';
import { startTree, stepSignals, treeactor } from './support/trees.js';
import { whyNoMixedUids } from './support/unprivileged.js';

const BOUND_MS = 5_000;
const teardown = [{ signal: 'SIGTERM', graceMs: 50 }] as const;
const gone = { empty: true, cause: 'stop', evidence: 'echild', covers: 'tree', survivors: [] };

/** Processes of the uid, zombies included: they fill its limit too. */
function ofUid(uid: number): number[] {
  return pids().filter((pid) => {
    try {
      return statSync(`/proc/${pid}`).uid === uid;
    } catch {
      return false;
    }
  });
}

/** A uid that nobody has. Suites that run beside each other begin to look at different places: they would share a limit. */
function freeUid(): number {
  for (let i = 0; i < 500; i++) {
    const uid = 61_310 + ((process.pid + i) % 500);
    if (ofUid(uid).length === 0) return uid;
  }
  throw new Error('no uid is free');
}
const BOMB_UID = freeUid();
const ofBombUid = () => ofUid(BOMB_UID);

/** As that uid: SIGKILL to all that it may signal, in one system call that no fork can slip through. kill(2), pid -1. */
function killBombUid(): void {
  if (ofBombUid().length === 0) return;
  const as = ['--reuid', String(BOMB_UID), '--regid', String(BOMB_UID), '--clear-groups'];
  spawnSync('setpriv', [...as, 'sh', '-c', 'kill -s KILL -- -1']);
}

/** The file by which native/treeactor_many.h counts, and is stopped. */
function sharedFile(scenario: Scenario) {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-many-'));
  chmodSync(folder, 0o777);
  const path = join(folder, 'shared');
  writeFileSync(path, new Uint8Array(8));
  chmodSync(path, 0o666);
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  return {
    path,
    count: () => readFileSync(path).readUInt32LE(4),
    stop: () => writeFileSync(path, new Uint8Array([1]), { flag: 'r+' }),
  };
}

const reason = whyNoMixedUids();
if (reason) process.stderr.write(`tree-fork-bomb: the bomb is skipped, ${reason}\n`);

describe.skipIf(reason !== '')('E2: a fork bomb', () => {
  const scenario = useScenario();

  it('E2: bounded at 500 processes, is at zero within 5 s', async () => {
    const shared = sharedFile(scenario);
    scenario.defer(killBombUid);
    const { group } = await startTree(scenario, 'treeactor', ['bomb', shared.path, '520'], {
      teardown,
      uid: BOMB_UID,
      gid: BOMB_UID,
      groups: [],
      rlimits: { nproc: 500 },
    });
    expect(shared.count(), 'the limit refused the next fork').toBe(499);
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
    const as = ['setpriv', '--reuid', String(BOMB_UID), '--regid', String(BOMB_UID), '--clear-groups'];
    const subject = startNode({ source }, { env: scenario.env, via: as });
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

  it('E2: control: root is not bound by RLIMIT_NPROC, and the actor says so instead of forking on', async () => {
    if (process.getuid?.() !== 0) return;
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-many-'));
    const child = spawn('prlimit', ['--nproc=20', treeactor, 'bomb', join(folder, 'shared'), '40'], {
      env: scenario.env,
      stdio: 'pipe',
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    await waitUntil(() => scenario.alive().length === 0, { what: 'its children have ended' });
    rmSync(folder, { recursive: true });
    expect(code).toBe(120);
    expect(text).toContain('the limit refuses no fork');
  });
});
