// S6: the guardian of a containment that the kernel keeps is SIGKILLed. Of a namespace the kernel ends the rest at once; of
// a cgroup the supervisor does, and removes the leaf.
import { describe, expect, it } from 'vitest';
import type { ProcessGroup } from '../dist/index.js';
import { type Box, boxed, boxes, evidenceOf, outside, usableBoxes, usePlace } from './support/boxes.js';
import { killedAtRandom } from './support/guardian-rounds.js';
import { stat, waitUntil } from './support/oracle.js';
import { useScenario } from './support/scenario.js';
import { Pinned, startTree } from './support/trees.js';

const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-guardian-killed');
const teardown = [{ signal: 'SIGTERM', graceMs: 300 }] as const;
const guardianOf = (group: ProcessGroup): number => group.mechanism.guardianPid ?? expect.fail('no guardian');
const lost = (box: Box) => ({ empty: true, covers: box, evidence: evidenceOf[box], survivors: [] });

describe.each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  const options = { ...boxed(box, place), teardown };

  it('S6: the group is taken down at once, the handle says guardian-lost', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], options);
    process.kill(guardianOf(group), 'SIGKILL');
    const began = performance.now();
    const report = await group.gone;
    expect(performance.now() - began, 'nobody is given a grace').toBeLessThan(2_000);
    expect(report).toMatchObject({ ...lost(box), cause: 'guardian' });
    expect(report.notes).toContain('guardian-lost');
    expect(scenario.alive()).toEqual([]);
    expect(place.leaves()).toEqual([]);
    expect(group.state).toBe('empty');
    const { code, signal, status } = await group.exited;
    expect([code, signal, status]).toEqual(status === 'exact' ? [null, 'SIGKILL', 'exact'] : [null, null, 'unknown']);
    expect(stat(guardianOf(group)), 'and it is reaped').toBeNull();
  });

  it('S6: who cleared its environment is gone as well', async () => {
    const { group, ready } = await startTree(scenario, 'treeactor', ['masked'], options);
    const pinned = new Pinned(
      outside(
        box,
        (await group.members()).map(({ pid }) => pid),
        ready.members,
      ),
    );
    scenario.defer(() => pinned.kill());
    process.kill(guardianOf(group), 'SIGKILL');
    expect(await group.gone).toMatchObject({ ...lost(box), cause: 'guardian' });
    expect(pinned.alive()).toEqual([]);
    expect(place.leaves()).toEqual([]);
  });

  it('S6: during a teardown the report keeps its cause', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], {
      ...options,
      teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }],
    });
    const stopping = group.stop();
    await waitUntil(() => group.state === 'draining');
    process.kill(guardianOf(group), 'SIGKILL');
    expect(await stopping).toMatchObject({ ...lost(box), cause: 'stop' });
    expect(scenario.alive()).toEqual([]);
    expect(place.leaves()).toEqual([]);
  });

  it('S6: after the leader has exited its status stays what it was', async () => {
    const { group } = await startTree(scenario, 'member', ['leader-exits-first'], options);
    const exit = await group.exited;
    process.kill(guardianOf(group), 'SIGKILL');
    expect(await group.gone).toMatchObject({ ...lost(box), cause: 'guardian' });
    expect(await group.exited).toBe(exit);
    expect(exit).toMatchObject({ code: 0, status: 'exact' });
    expect(scenario.alive()).toEqual([]);
  });

  it('S6: stop(), kill(), members() and signal() after the loss answer', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], options);
    process.kill(guardianOf(group), 'SIGKILL');
    const [one, two, three] = await Promise.all([group.stop(), group.kill(), group.gone]);
    expect(one).toBe(two);
    expect(two).toBe(three);
    expect(await group.members()).toEqual([]);
    expect(group.signal('SIGTERM')).toBe('gone');
  });

  it('S6: a guardian that is stopped is not waited for without a bound', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { ...options, teardown: [], killWaitMs: 200 });
    process.kill(guardianOf(group), 'SIGSTOP');
    const report = await group.stop();
    expect(report).toMatchObject({ ...lost(box), cause: 'stop' });
    expect(report.notes).toContain('guardian-lost');
    expect(scenario.alive()).toEqual([]);
    expect(place.leaves()).toEqual([]);
  });

  it('S6: at random moments spawn is refused, or the report names the loss; nobody and no leaf is left', async () => {
    await killedAtRandom(60, scenario, options);
    expect(place.leaves()).toEqual([]);
  }, 120_000);
});
