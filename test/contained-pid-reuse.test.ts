// G5 under containments that the kernel keeps: a number that was a member's and was given to a stranger is never signalled.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { boxed, boxes, usableBoxes, usePlace } from './support/boxes.js';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { namespaced, strangers, whyNot } from './support/strangers.js';
import { treeactor } from './support/trees.js';

const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-pid-reuse');
const reason = whyNot();
if (reason) process.stderr.write(`contained-pid-reuse: skipped, ${reason}\n`);

interface Case {
  how: string;
  mode: string;
  act: string;
  outcome: unknown;
  heard: string[];
}

describe.skipIf(reason !== '').each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  function run(source: string, disable: string): Promise<Case[]> {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-reuse-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    return runNodeJson<Case[]>(
      { source: `const box = ${JSON.stringify(boxed(box, place))};\n${strangers}${source}` },
      {
        args: [folder],
        via: namespaced,
        env: { ...scenario.env, ...(disable ? { PROCGROUP_TEST_DISABLE: disable } : {}) },
      },
    );
  }

  it.each(['', 'pidfd_group'])('G5: a group that is gone %s', async (disable) => {
    const cases = await run(
      `
      for (const isolation of ['group', 'session']) for (const how of ['told', 'not told yet'])
        for (const mode of MODES) for (const act of Object.keys(acts)) {
          const group = await spawn(member, ['exit', '0'], { stdio: 'ignore', isolation, ...box });
          if (how === 'told') await group.gone;
          freed(group.pid);
          const other = stranger(group.pid, mode);
          const result = await outcome(() => acts[act](group));
          results.push({ how: isolation + ', ' + how, mode, act, outcome: result, heard: await other.heard() });
          await other.end();
        }
      console.log(JSON.stringify(results));`,
      disable,
    );
    expect(cases).toHaveLength(48);
    expect(
      cases.filter(({ heard }) => heard.join() !== '64'),
      'who hears more than the control signal',
    ).toEqual([]);
    for (const one of cases) {
      if (one.act === 'kill' || one.act === 'stop') expect(one.outcome, JSON.stringify(one)).toBe(true);
    }
  });

  it('G5: a member whose group lives on', async () => {
    const cases = await run(
      `
      for (const mode of MODES) for (const act of ['kill', 'stop', 'dispose']) {
        const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
          stdio: ['ignore', 'ignore', 'inherit', 'pipe'], teardown: [{ signal: 'SIGTERM', graceMs: 50 }], ...box });
        await readReady(group.stdio[3]);
        const members = await group.members();
        // The leader does not wait for its own children, and its group holds its number: of the others it is the orphan whose
        // number is freed.
        const orphan = members.find(({ pid, ppid }) => ppid === group.mechanism.guardianPid && pid !== group.pid).pid;
        process.kill(orphan, 'SIGKILL');
        freed(orphan);
        const other = stranger(orphan, mode);
        const result = await outcome(() => acts[act](group));
        results.push({ how: 'orphan', mode, act, outcome: result, heard: await other.heard() });
        await other.end();
        group.stdio[3].destroy();
      }
      console.log(JSON.stringify(results));`,
      '',
    );
    expect(cases).toHaveLength(9);
    expect(
      cases.filter(({ heard }) => heard.join() !== '64'),
      'who hears more than the control signal',
    ).toEqual([]);
  });
});
