// Containments that the kernel keeps: what multiplies is brought to zero, and large groups are verified empty. The bomb runs
// under a uid of its own, whose RLIMIT_NPROC bounds it: it says ready only after that limit refused a fork.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { boxed, boxes, evidenceOf, usableBoxes, usePlace } from './support/boxes.js';
import { pids, waitUntil } from './support/oracle.js';
import { scaled } from './support/scale.js';
import { type Scenario, useScenario } from './support/scenario.js';
import { startTree, stepSignals } from './support/trees.js';
import { whyNoMixedUids } from './support/unprivileged.js';

const BOMB_UID = 61_311;
const BOUND_MS = 2_000;
const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-size');
const reason = whyNoMixedUids();
if (reason) process.stderr.write(`contained-size: the bomb is skipped, ${reason}\n`);

/** Processes of the bomb's uid, zombies included: they fill its limit too. */
function ofBombUid(): number[] {
  return pids().filter((pid) => {
    try {
      return statSync(`/proc/${pid}`).uid === BOMB_UID;
    } catch {
      return false;
    }
  });
}

/** As that uid: SIGKILL to all that it may signal, in one system call. kill(2), pid -1. */
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

describe.each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  const options = boxed(box, place);
  const gone = { empty: true, cause: 'stop', evidence: evidenceOf[box], covers: box, survivors: [] };

  it.skipIf(reason !== '')(
    'E2: a fork bomb of a thousand is at zero within 2 s, and meanwhile the machine answers',
    async () => {
      const most = scaled(1_000);
      const shared = sharedFile(scenario);
      scenario.defer(killBombUid);
      const { group } = await startTree(scenario, 'treeactor', ['bomb', shared.path, String(most + 20), '100000'], {
        ...options,
        teardown: [{ signal: 'SIGTERM', graceMs: 50 }],
        uid: BOMB_UID,
        gid: BOMB_UID,
        groups: [],
        rlimits: { nproc: most },
      });
      expect(shared.count(), 'the limit refused the next fork').toBe(most - 1);
      await waitUntil(() => shared.count() >= most + 5, { what: 'it goes on where a process has ended' });
      expect(ofBombUid().length).toBeGreaterThan(most * 0.7);
      const began = performance.now();
      const stopping = group.stop();
      const answer = spawnSync('/bin/true');
      const answeredMs = performance.now() - began;
      const report = await stopping;
      const ms = performance.now() - began;
      process.stderr.write(
        `E2 ${box}: ${most} processes at zero after ${ms.toFixed()} ms, a program ran in ${answeredMs.toFixed()} ms\n`,
      );
      expect(ms).toBeLessThan(BOUND_MS);
      expect(answer.status).toBe(0);
      expect(answeredMs).toBeLessThan(BOUND_MS);
      expect(report).toMatchObject(gone);
      expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
      expect(ofBombUid()).toEqual([]);
      expect(scenario.alive()).toEqual([]);
    },
  );

  it('E2: a chain that forks and exits as fast as it can is at zero', async () => {
    const generations = 20_000;
    for (let round = 0; round < 3; round++) {
      const shared = sharedFile(scenario);
      scenario.defer(shared.stop);
      const { group } = await startTree(scenario, 'treeactor', ['chain', shared.path, String(generations), '0'], {
        ...options,
        teardown: [],
      });
      await waitUntil(() => shared.count() > 20, { everyMs: 1 });
      const began = performance.now();
      expect(await group.stop()).toMatchObject(gone);
      expect(performance.now() - began).toBeLessThan(BOUND_MS);
      expect(shared.count(), 'it had not come to its own end').toBeLessThan(generations);
      expect(scenario.alive()).toEqual([]);
    }
  });

  it.each([
    ['detached-wide', 1_000],
    ['detached-deep', 500],
  ] as const)('E4: %s, %i processes each in a session of its own: verified empty', async (verb, size) => {
    const count = scaled(size);
    const { group, ready } = await startTree(scenario, 'treeactor', [verb, String(count)], {
      ...options,
      teardown: [],
    });
    expect(ready.members).toHaveLength(count);
    const members = await group.members();
    expect(members).toHaveLength(count + 1);
    expect(new Set(members.map(({ sid }) => sid)).size).toBe(count + 1);
    expect(await group.stop()).toMatchObject({ ...gone, steps: [{ signal: 'SIGKILL' }] });
    expect(scenario.alive()).toEqual([]);
  });

  it.each(['detached-wide', 'detached-deep'])('E4: %s: a gentle ladder reaches every session', async (verb) => {
    const { group } = await startTree(scenario, 'treeactor', [verb, '100'], {
      ...options,
      teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }],
    });
    const report = await group.stop();
    expect(report).toMatchObject({ ...gone, steps: [{ signal: 'SIGTERM' }] });
    expect(report.durationMs).toBeLessThan(20_000);
  });
});
