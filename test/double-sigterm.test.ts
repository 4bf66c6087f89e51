import { spawn as spawnPlain } from 'node:child_process';
import { expect, it } from 'vitest';
import { subjectEnv } from './support/environment.mjs';
import { waitUntil } from './support/oracle.js';
import { actor } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();

function counts(steps: { signal: string }[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { signal } of steps) found[signal] = (found[signal] ?? 0) + 1;
  return found;
}

it('G13: SIGTERM twice (to the group, then forwarded): one teardown, the second is ignored', async () => {
  // A supervisor leads its own group. The member prints each signal it gets, and ends by SIGKILL only.
  const child = spawnPlain(process.execPath, [actor, 'stop-on-sigterm', 'report-signals'], {
    env: subjectEnv(scenario.env),
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await readReady(child.stdout);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  child.stdout.resume();
  const ended = new Promise<[number | null, string | null]>((resolve) => {
    child.once('close', (code, signal) => resolve([code, signal]));
  });
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  await waitUntil(() => text.includes('stop 1'));
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  const lines = text.trim().split('\n');
  expect(lines.filter((line) => line.startsWith('stop '))).toEqual(['stop 1', 'stop 2']);
  expect(lines.filter((line) => line.startsWith('got 15'))).toEqual(['got 15 1']);
  const result = JSON.parse(lines.at(-1) ?? '');
  expect(result).toMatchObject({ stops: 2, reports: 1, report: { empty: true, cause: 'stop' } });
  expect(counts(result.report.steps)).toMatchObject({ SIGTERM: 1, SIGKILL: 1 });
  expect(scenario.alive()).toEqual([]);
});

it('G13: SIGTERM twice: the second escalates, where it is answered with kill()', async () => {
  const { group } = await startMember(scenario, ['ignore-term'], {
    teardown: [{ signal: 'SIGTERM', graceMs: 30_000 }],
  });
  const first = group.stop();
  const second = group.kill();
  expect(await second).toBe(await first);
  const report = await first;
  expect(report).toMatchObject({ empty: true, cause: 'stop' });
  expect(counts(report.steps)).toMatchObject({ SIGKILL: 1 });
  expect(counts(report.steps).SIGTERM ?? 0).toBeLessThanOrEqual(1);
  expect(report.durationMs).toBeLessThan(10_000);
});
