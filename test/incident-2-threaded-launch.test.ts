// The example of incident 2, with fewer launches, and what it leaves: nothing.
import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { finish } from './support/cli.js';
import { subjectEnv } from './support/environment.mjs';
import { root } from './support/paths.mjs';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

it('T1: the example launches beside 22 busy threads, hangs nowhere, and shows whole errors', async () => {
  const count = scaled(16);
  const main = `${root}examples/incident-2-threaded-launch/main.mjs`;
  const child = spawn(process.execPath, [main, String(count)], {
    env: subjectEnv(scenario.env),
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code, stdout, stderr } = await finish(child);
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/Python (can: \d+ of 200|could)/);
  expect(stdout, 'what fork() and JSON lose').toContain(
    'Error: job 7 failed; thrown at: not where it was thrown; fields: {};',
  );
  expect(stdout).toContain(`hangs 0, failures 0, right values ${count} of ${count}`);
  expect(stdout).toMatch(
    /JobError: job 7 failed; thrown at: job\.mjs:\d+; fields: {"id":7,"retriable":true}; cause: no shard/,
  );
  expect(stdout).toContain('zombies included: 0');
  expect(Number(/made (\d+) rounds/.exec(stdout)?.[1]), 'control: the threads were busy').toBeGreaterThanOrEqual(22);
  expect(scenario.alive()).toEqual([]);
}, 300_000);
