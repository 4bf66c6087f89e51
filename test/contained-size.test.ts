// Containments that the kernel keeps: what multiplies is brought to zero, and large groups are verified empty. The bomb runs
// under a uid of its own, whose RLIMIT_NPROC bounds it: it says ready only after that limit refused a fork.
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { boxed, boxes, evidenceOf, usableBoxes, usePlace } from './support/boxes.js';
import { bombIdentity, killBombUid, ofBombUid, sharedFile } from './support/many.js';
import { waitUntil } from './support/oracle.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startTree, stepSignals } from './support/trees.js';
import { whyNoMixedUids } from './support/unprivileged.js';

const BOUND_MS = 2_000;
const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-size');
const reason = whyNoMixedUids();
if (reason) process.stderr.write(`contained-size: the bomb is skipped, ${reason}\n`);

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
        ...bombIdentity,
        rlimits: { nproc: most },
      });
      expect(shared.limit(), 'the limit refused the next fork').toBe(most - 1);
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
