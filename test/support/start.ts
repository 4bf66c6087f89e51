import type { Readable } from 'node:stream';
import { type ProcessGroup, type SpawnOptions, spawn } from '../../dist/index.js';
import { member } from './paths.mjs';
import { type Ready, readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';

/** All stdio ignored, and the ready line on descriptor 3, which the members close. */
export const quiet = ['ignore', 'ignore', 'ignore', 'pipe'] as const;

export interface Started {
  group: ProcessGroup;
  ready: Ready;
  /** The leader and its members. */
  pids: number[];
}

/** Spawns member VERB with the scenario's mark, by default under `quiet`, and waits for its ready line. */
export async function startMember(
  scenario: Scenario,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Started> {
  const stdio = options.stdio ?? quiet;
  const onThree = Array.isArray(stdio) && stdio[3] === 'pipe';
  const argv = onThree ? ['-r', '3', ...args] : args;
  const group = (await spawn(member, argv, { env: scenario.env, ...options, stdio })) as ProcessGroup;
  const ready = await readReady((onThree ? group.stdio[3] : group.stdout) as Readable);
  return { group, ready, pids: [ready.pid, ...ready.members] };
}
