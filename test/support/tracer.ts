import { spawn } from 'node:child_process';
import { tracer } from './paths.mjs';
import { readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';

async function trace(scenario: Scenario, mode: string, pid: number): Promise<() => Promise<void>> {
  const child = spawn(tracer, [mode, String(pid)], { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'] });
  await readReady(child.stdout);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const release = async (): Promise<void> => {
    child.kill('SIGKILL');
    await gone;
  };
  scenario.defer(release);
  return release;
}

/** Makes `pid` unable to end, SIGKILL or not, until the test is over. */
export async function holdByTracer(scenario: Scenario, pid: number): Promise<void> {
  await trace(scenario, 'exit-stop', pid);
}

/** `pid` does not run until the function that it returns is called. */
export function pauseByTracer(scenario: Scenario, pid: number): Promise<() => Promise<void>> {
  return trace(scenario, 'held', pid);
}
