import { expect } from 'vitest';
import { runWorkload, type WorkloadOptions, type WorkloadRun } from '../../dist/workload.js';
import { root } from './paths.mjs';
import type { Scenario } from './scenario.js';

export const workloads = new URL(`file://${root}test/support/workloads.mjs`);

// biome-ignore lint/suspicious/noExplicitAny: the workloads of the tests are JavaScript
export type AnyRun = WorkloadRun<(payload: any, context: any) => any>;

/** Runs an export of workloads.mjs, with the scenario's mark. */
export function work(scenario: Scenario, exportName: string, payload?: unknown, options: WorkloadOptions = {}): AnyRun {
  return runWorkload(workloads, payload, { env: scenario.env, exportName, ...options }) as AnyRun;
}

// biome-ignore lint/suspicious/noExplicitAny: what was thrown
export async function rejection(promise: Promise<unknown>): Promise<any> {
  const thrown = await promise.then(
    (value) => ({ value }),
    (reason: unknown) => ({ reason }),
  );
  expect(thrown).toHaveProperty('reason');
  return (thrown as { reason: unknown }).reason;
}
