import { spawn } from 'node:child_process';
import { tracer } from './paths.mjs';
import { readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';

/** Makes `pid` unable to end, SIGKILL or not, until the test is over. */
export async function holdByTracer(scenario: Scenario, pid: number): Promise<void> {
  const child = spawn(tracer, ['exit-stop', String(pid)], { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'] });
  await readReady(child.stdout);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  scenario.defer(async () => {
    child.kill('SIGKILL');
    await gone;
  });
}
