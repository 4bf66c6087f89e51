// Incidents 3 and 4: each example reproduces its incident, runs it with procgroup, proves the difference, and cleans up.
import { expect, it } from 'vitest';
import { root } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

async function example(name: string): Promise<string> {
  const run = await runNode(`${root}examples/${name}/main.mjs`, { env: scenario.env, timeoutMs: 230_000 });
  expect({ code: run.code, signal: run.signal, stdout: run.stdout }).toMatchObject({ code: 0, signal: null });
  expect(run.stderr).toBe('');
  expect(run.stdout).toMatch(/\nproved\n$/);
  expect(scenario.alive()).toEqual([]);
  return run.stdout;
}

it('incident 3: a supervisor whose body throws exits within grace and a second, and is restarted', async () => {
  const said = await example('incident-3-supervisor-exits');
  expect(said, 'control').toContain('it has not exited, and never will');
  const [, ms] = /it exited with 1 after (\d+) ms \(grace 500 ms\), left: 0 processes/.exec(said) ?? [];
  expect(Number(ms)).toBeLessThan(1_500);
  expect(said.match(/stderr: .*/g), 'the error, and nothing else, each time').toEqual([
    'stderr: scheduler: the database went away',
    'stderr: scheduler: the database went away',
  ]);
  expect(said).toContain('restarted it; the database is back: exit 0, left: 0');
}, 240_000);

it('incident 4: 50 recycled workers, one helper at a time, none left', async () => {
  const said = await example('incident-4-shared-helper');
  expect(said, 'control').toContain('readers alive after each: 1 2 3 4 5 6 7 8 9 10.');
  expect(said).toMatch(
    /5000 reads; readers alive at once: at most 1; gone within \d+ ms of their worker's end; left: 0/,
  );
  expect(said).toMatch(/'reader', idle: pid \d+, pgid \d+, tree/);
}, 240_000);
