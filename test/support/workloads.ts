import { expect } from 'vitest';
import { runWorkload, type WorkloadEnd, type WorkloadOptions } from '../../dist/workload.js';
import { root } from './paths.mjs';
import type { Scenario } from './scenario.js';

export const workloads = new URL(`file://${root}test/support/workloads.mjs`);

// biome-ignore-start lint/suspicious/noExplicitAny: the workloads of the tests are JavaScript
export interface AnyRun extends Promise<any> {
  readonly progress: AsyncIterable<any>;
  readonly ended: Promise<WorkloadEnd>;
}
// biome-ignore-end lint/suspicious/noExplicitAny: the workloads of the tests are JavaScript

/** Runs an export of workloads.mjs, with the scenario's mark. */
export function work(scenario: Scenario, exportName: string, payload?: unknown, options: WorkloadOptions = {}): AnyRun {
  return runWorkload(workloads, payload, { env: scenario.env, exportName, ...options });
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
