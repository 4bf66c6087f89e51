// Rounds of: a guardian is SIGKILLed at a random moment of its group's start, run or teardown, and nobody may be left.
import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { type SpawnOptions, spawn } from '../../dist/index.js';
import { inLanes, resultOf } from './lanes.js';
import { alive, bears, isDead, newMark, waitUntil, zombieChildrenOf } from './oracle.js';
import { member } from './paths.mjs';
import { scaled } from './scale.js';
import type { Scenario } from './scenario.js';
import { quiet } from './start.js';
import { guardiansOf, treeactor } from './trees.js';

async function round(number: number, scenario: Scenario, options: SpawnOptions): Promise<'refused' | 'lost' | 'done'> {
  const mark = newMark();
  const env = { ...scenario.env, ...mark.env };
  const [file, verb] = number % 5 === 0 ? [member, 'sleep'] : [treeactor, 'mixed'];
  const spawning = spawn(file, ['-r', '3', verb], { ...options, env, stdio: quiet }).then(
    (group) => ({ group, error: undefined }),
    (error: NodeJS.ErrnoException) => ({ group: undefined, error }),
  );
  const moment = performance.now() + Math.random() * 12;
  const ours = () => guardiansOf().find((pid) => bears(pid, mark.id));
  const guardian = await waitUntil(ours, { everyMs: 0 });
  while (performance.now() < moment && number % 3 !== 0) await new Promise((resolve) => setImmediate(resolve));
  process.kill(guardian, 'SIGKILL');
  const { group, error } = await spawning;
  if (error !== undefined) expect(error).toMatchObject({ name: 'SpawnError', code: 'ERR_KILLED_BEFORE_EXEC' });
  if (number % 2 === 0) void group?.stop();
  const report = await group?.gone;
  if (report !== undefined) expect(report).toMatchObject({ empty: true, survivors: [] });
  expect(alive(mark.id), `round ${number}`).toEqual([]);
  expect(isDead(guardian)).toBe(true);
  expect(existsSync(group?.mechanism.cgroupPath ?? '/no/such'), 'a leaf').toBe(false);
  for (const stream of group?.stdio ?? []) stream?.destroy();
  return report === undefined ? 'refused' : report.notes.includes('guardian-lost') ? 'lost' : 'done';
}

/** `count` rounds, scaled, three at a time: a round mostly waits, since a lost group is looked for with growing pauses. */
export async function killedAtRandom(count: number, scenario: Scenario, options: SpawnOptions): Promise<void> {
  const numbers = Array.from({ length: scaled(count) }, (_, i) => i);
  const ends = { refused: 0, lost: 0, done: 0 };
  for (const settled of await inLanes(3, numbers, (number) => round(number, scenario, options)))
    ends[resultOf(settled)]++;
  process.stderr.write(`S6 ${options.containment}: ${JSON.stringify(ends)}\n`);
  expect(ends.refused + ends.lost, 'control: guardians were lost').toBeGreaterThan(0);
  expect(zombieChildrenOf()).toEqual([]);
}
