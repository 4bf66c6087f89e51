import type { Readable } from 'node:stream';
import type { ProcessGroup, SpawnOptions } from '../../dist/index.js';
import type { ProcessScope } from '../../dist/scope.js';
import { member } from './paths.mjs';
import { readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';
import { quiet, type Started } from './start.js';

export const TERM = (graceMs: number) => [{ signal: 'SIGTERM', graceMs }] as const;

/** Spawns member VERB in a scope, with the scenario's mark, and waits for its ready line. */
export async function startIn(
  scope: ProcessScope,
  scenario: Scenario,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Started> {
  const group = (await scope.spawn(member, ['-r', '3', ...args], {
    env: scenario.env,
    stdio: quiet,
    ...options,
  })) as ProcessGroup;
  const line = group.stdio[3] as Readable;
  const ready = await readReady(line);
  line.destroy();
  return { group, ready, pids: [ready.pid, ...ready.members] };
}

/** Settles with the error that `promise` rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`it resolved, with ${String(value)}`);
    },
    (error: unknown) => error,
  );
}
