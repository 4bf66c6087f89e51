// The negative controls' supervisor: node:child_process, which signals one pid or a group and verifies nothing.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { member } from './paths.mjs';
import { type Ready, readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';

export interface Plain {
  child: ChildProcess;
  ready: Ready;
  exited: Promise<[number | null, NodeJS.Signals | null]>;
}

/** Starts member VERB as the leader of a new session (`detached`), with its ready line on descriptor 3. */
export async function startPlain(
  scenario: Scenario,
  args: readonly string[],
  stdio: StdioOptions = ['ignore', 'ignore', 'ignore', 'pipe'],
): Promise<Plain> {
  scenario.leaves();
  const child = spawn(member, ['-r', '3', ...args], {
    env: scenario.env,
    detached: true,
    stdio,
  });
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  const ready = await readReady(child.stdio[3] as Readable);
  return { child, ready, exited };
}
