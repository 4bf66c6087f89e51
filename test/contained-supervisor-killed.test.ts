// Containments that the kernel keeps: the group ends with its supervisor, however that ends, and a leaf goes with it.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { boxed, boxes, usableBoxes, usePlace } from './support/boxes.js';
import { inLanes, resultOf } from './support/lanes.js';
import { alive, killMarked, newMark, stat, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { allowance, scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { sigkillRounds } from './support/sigkill-rounds.mjs';
import { type End, ends, killed, wait } from './support/supervisor-ends.js';
import { guardiansOf, treeactor } from './support/trees.js';

const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-supervisor-killed');
const GRACE_MS = 300;
const SLACK_MS = allowance(1_000);

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

describe.each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  const options = boxed(box, place);
  const subject = (end: string) => `
    const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
      ...${JSON.stringify(options)}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'], exitGraceMs: ${GRACE_MS},
      teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }],
    });
    await readReady(group.stdio[3]);
    group.stdio[3].destroy();
    nodeFs.writeSync(1, 'ready ' + JSON.stringify({ leaf: group.mechanism.cgroupPath }) + '\\n');
    ${end}`;

  async function until(what: string) {
    await waitUntil(() => scenario.alive().length === 0 && place.leaves().length === 0, { timeoutMs: 20_000, what });
  }

  /** How one supervisor ended, and how long after that nobody and no leaf of its was left. */
  async function see({ source, nodeArgs = [] }: End) {
    const mark = newMark();
    const via = ['sh', '-c', 'ulimit -c 0; exec "$@"', 'sh'];
    try {
      const env = { ...process.env, ...mark.env };
      const node = startNode({ source: subject(source) }, { env, nodeArgs, via });
      node.stderr?.resume();
      const ended = once(node, 'exit');
      const { leaf } = await readReady<{ leaf: string | null }>(node.stdout ?? expect.fail('no stdout'));
      const end = await ended;
      const at = performance.now();
      await waitUntil(() => alive(mark.id).length === 0 && !(leaf && existsSync(leaf)), { timeoutMs: 20_000 });
      return { end, ms: performance.now() - at, leaf };
    } finally {
      killMarked(mark.id);
    }
  }
  let seen: Awaited<ReturnType<typeof inLanes<End, Awaited<ReturnType<typeof see>>>>> = [];
  beforeAll(async () => {
    seen = await inLanes(3, ends, see);
  }, 120_000);

  it.each(ends.map((end, i) => ({ ...end, i })))('S4, S7: $name', ({ i, code, signal }) => {
    const { end, ms, leaf } = resultOf(seen[i]);
    expect(end).toEqual([code, signal]);
    expect(ms, 'from the end of the supervisor').toBeLessThan(GRACE_MS + SLACK_MS);
    expect(leaf === null, 'control: there was a leaf to remove').toBe(box !== 'cgroup');
  });

  it('S4: twenty groups of one supervisor go together', async () => {
    const source = `
      await Promise.all(Array.from({ length: 20 }, async () => {
        const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
          ...${JSON.stringify(options)}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
          teardown: [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }] });
        await readReady(group.stdio[3]);
      }));
      nodeFs.writeSync(1, 'ready {}\\n');
      ${killed('SIGKILL')}`;
    const node = startNode({ source }, { env: scenario.env });
    const ended = once(node, 'exit');
    await readReady(node.stdout ?? expect.fail('no stdout'));
    await ended;
    const at = performance.now();
    await until('nobody and no leaf of the twenty is left');
    expect(performance.now() - at).toBeLessThan(GRACE_MS + 3 * SLACK_MS);
  });

  const rounds = Math.max(8, scaled(20));
  it(
    `S5: ${rounds} times SIGKILL at a random moment of three groups: no survivor, no guardian, no leaf`,
    async () => {
      let hit = 0;
      const results = await sigkillRounds(rounds, {
        containment: box,
        options,
        trees: 3,
        onRound: ({ before }, done) => {
          if (before > 1) hit += 1;
          if (done % 100 === 0)
            process.stderr.write(`S5 ${box}: ${done} of ${rounds} rounds, ${hit} of them hit a group\n`);
        },
      });
      expect(results.filter(({ signal }) => signal !== 'SIGKILL')).toEqual([]);
      expect(results.filter(({ survivors }) => survivors.length > 0)).toEqual([]);
      expect(
        results.filter(({ left }) => left.length > 0),
        'later than grace and a second',
      ).toEqual([]);
      expect(hit, 'control: the moments did hit groups').toBeGreaterThan(rounds / 4);
      await until('no leaf is left');
    },
    60_000 + rounds * 2_000,
  );
});

const namespaced = usable.includes('namespace');
describe.skipIf(!namespaced)('under namespace, the supervisor and the guardian are killed together', () => {
  const rounds = Math.max(4, scaled(20));
  it(
    `S6: ${rounds} times, at a random moment of three groups: no survivor`,
    async () => {
      let both = 0;
      const results = await sigkillRounds(rounds, {
        containment: 'namespace',
        trees: 3,
        victims: (supervisor) => {
          // Stopped first, so that neither sees the other's end.
          kill(supervisor, 'SIGSTOP');
          const guardians = guardiansOf(supervisor);
          for (const pid of guardians) kill(pid, 'SIGKILL');
          both += guardians.length > 0 ? 1 : 0;
        },
        onRound: (_, done) => {
          if (done % 100 === 0) process.stderr.write(`S6: ${done} of ${rounds} rounds, ${both} of them killed both\n`);
        },
      });
      expect(results.filter(({ survivors }) => survivors.length > 0)).toEqual([]);
      expect(results.filter(({ left }) => left.length > 0)).toEqual([]);
      expect(both, 'control: there were guardians to kill').toBeGreaterThan(rounds / 4);
    },
    60_000 + rounds * 2_000,
  );

  it('S6: control: of a tree members are left', async () => {
    scenario.leaves();
    const source = `
      const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
        containment: 'tree', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
      await readReady(group.stdio[3]);
      nodeFs.writeSync(1, 'ready ' + JSON.stringify({ guardian: group.mechanism.guardianPid }) + '\\n'); ${wait}`;
    const node = startNode({ source }, { env: scenario.env });
    const { guardian } = await readReady<{ guardian: number }>(node.stdout ?? expect.fail('no stdout'));
    kill(node.pid ?? expect.fail('no pid'), 'SIGSTOP');
    kill(guardian, 'SIGKILL');
    kill(node.pid ?? expect.fail('no pid'), 'SIGKILL');
    await once(node, 'exit');
    await waitUntil(() => stat(guardian) === null);
    expect(scenario.alive().length).toBeGreaterThan(0);
  });
});
