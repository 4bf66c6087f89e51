// Runs an example to its end, as its first line says: one command, nothing on stderr, exit status 0.
import { expect } from 'vitest';
import { root } from './paths.mjs';
import { runNode } from './run-node.js';
import type { Scenario } from './scenario.js';

/** For tests of examples that start many a Node and npx. */
export const EXAMPLE_MS = 180_000;

/** Gives what it printed. Whoever calls it asks the oracle what is left. */
export async function runExample(scenario: Scenario, file: string): Promise<string> {
  const env = { ...scenario.env, FORCE_COLOR: undefined, LC_ALL: 'C.UTF-8' };
  const { code, signal, stdout, stderr } = await runNode(`${root}examples/${file}`, {
    env,
    timeoutMs: EXAMPLE_MS - 10_000,
  });
  expect({ code, signal, stderr }, stdout).toEqual({ code: 0, signal: null, stderr: '' });
  return stdout;
}
