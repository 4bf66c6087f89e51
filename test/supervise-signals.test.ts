// What a supervisor does with its own signals is what its policy says, once for each delivery, and nothing without a policy.
import { spawn as spawnPlain } from 'node:child_process';
import { expect, it } from 'vitest';
import { type Outcome, supervise } from '../dist/supervise.js';
import { subjectEnv } from './support/environment.mjs';
import { waitUntil } from './support/oracle.js';
import { actor, member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';
import { stepSignals } from './support/trees.js';

const scenario = useScenario();
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'];

interface Ended {
  handled: string[];
  outcome: Outcome;
}

/** A supervisor that leads its own group, as under a service manager or a shell. */
async function start(options: object, ...memberArgs: string[]) {
  const child = spawnPlain(process.execPath, [actor, 'supervise', JSON.stringify(options), ...memberArgs], {
    env: subjectEnv(scenario.env),
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = new Promise<[number | null, string | null]>((resolve) => {
    child.once('close', (code, signal) => resolve([code, signal]));
  });
  const ready = await readReady<{ handled: string[]; group: number }>(child.stdout);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  child.stdout.resume();
  const ended = async (): Promise<Ended> => {
    expect(await closed).toEqual([0, null]);
    expect(scenario.alive()).toEqual([]);
    return JSON.parse(/^outcome (.*)$/m.exec(text)?.[1] ?? 'null');
  };
  const lines = (pattern: RegExp) => text.split('\n').filter((line) => pattern.test(line));
  return { child, ready, closed, ended, lines, until: (pattern: RegExp) => waitUntil(() => lines(pattern).length > 0) };
}

/** Long enough for the machine to be as slow as it likes. */
const signalWindowMs = 60_000;

it('G13: teardown: SIGTERM to the group and to the supervisor is one teardown', async () => {
  const options = { signals: { SIGTERM: 'teardown' }, signalWindowMs, signalRepeat: 'kill' };
  const { child, ready, ended, lines, until } = await start(options, 'report-signals');
  expect(ready.handled).toEqual(['SIGTERM']);
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  await until(/^got 15 1/);
  child.kill('SIGTERM');
  const { handled, outcome } = await ended();
  expect(outcome).toMatchObject({ kind: 'aborted', reason: 'signal', signals: ['SIGTERM'], runs: 1 });
  expect(outcome.report).toMatchObject({ cause: 'stop', empty: true });
  expect(stepSignals(outcome.report ?? { steps: [] })).toEqual(['SIGTERM', 'SIGKILL']);
  expect(outcome.report?.durationMs, 'the grace is left to it').toBeGreaterThan(1_900);
  expect(lines(/^got 15/)).toEqual(['got 15 1']);
  expect(handled, 'no handler is left').toEqual([]);
});

it('G13: forward: the command gets it once, and its end is the outcome', async () => {
  const { child, ended, lines, until } = await start(
    { signals: { SIGINT: 'forward', SIGUSR2: 'teardown' }, signalWindowMs, restart: { policy: 'always' } },
    'report-signals',
  );
  process.kill(-(child.pid ?? 0), 'SIGINT');
  await until(/^got 2 /);
  child.kill('SIGINT');
  // A marker behind it: whatever was forwarded twice would have come before.
  child.kill('SIGUSR2');
  const { outcome } = await ended();
  expect(lines(/^got 2 /)).toEqual(['got 2 1']);
  expect(outcome).toMatchObject({ kind: 'aborted', reason: 'signal', signals: ['SIGINT', 'SIGUSR2'], runs: 1 });
});

it('G13: forward: a later one is another; one that asks to end is followed by no other run', async () => {
  const { child, ready, ended, lines, until } = await start(
    {
      signals: { SIGHUP: 'forward', SIGTERM: 'forward' },
      signalWindowMs: 0,
      restart: { policy: 'always', backoffMs: 1 },
    },
    'report-signals',
  );
  child.kill('SIGHUP');
  await until(/^got 1 1/);
  child.kill('SIGHUP');
  await until(/^got 1 2/);
  child.kill('SIGTERM');
  await until(/^got 15 1/);
  process.kill(ready.group, 'SIGUSR1');
  const { outcome } = await ended();
  expect(lines(/^got/)).toEqual(['got 1 1', 'got 1 2', 'got 15 1']);
  expect(outcome).toMatchObject({
    kind: 'exited',
    exit: { code: 0 },
    signals: ['SIGHUP', 'SIGHUP', 'SIGTERM'],
    runs: 1,
  });
});

it('G13: forward: control: without it a signal is no end of restarts', async () => {
  const { child, ended, until } = await start(
    { signals: { SIGHUP: 'forward' }, signalWindowMs: 0, restart: { policy: 'always', backoffMs: 1, limit: 1 } },
    'sleep',
  );
  child.kill('SIGHUP');
  await until(/^run /);
  child.kill('SIGHUP');
  expect((await ended()).outcome).toMatchObject({ kind: 'exited', exit: { signal: 'SIGHUP' }, runs: 2 });
});

it('G13: drain: the run is the last one, and is not signalled', async () => {
  const { child, ready, ended, lines } = await start(
    { signals: { SIGTERM: 'drain', SIGHUP: 'forward' }, restart: { policy: 'always', backoffMs: 1 } },
    'report-signals',
  );
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  child.kill('SIGTERM');
  child.kill('SIGHUP');
  await waitUntil(() => lines(/^got 1 1/).length > 0);
  process.kill(ready.group, 'SIGUSR1');
  const { outcome } = await ended();
  expect(lines(/^got/)).toEqual(['got 1 1']);
  expect(outcome).toMatchObject({ kind: 'exited', exit: { code: 0 }, runs: 1, report: { steps: [] } });
});

it('G13: drain: a pause before a restart ends at once', async () => {
  const { child, ready, ended } = await start(
    {
      signals: { SIGTERM: 'drain', SIGHUP: 'forward' },
      restart: { policy: 'always', backoffMs: 600_000, maxBackoffMs: 600_000, jitter: 0 },
    },
    'sleep',
  );
  process.kill(ready.group, 'SIGKILL');
  await waitUntil(() => scenario.alive().every(({ pid }) => pid === child.pid));
  child.kill('SIGTERM');
  expect((await ended()).outcome).toMatchObject({ kind: 'exited', exit: { signal: 'SIGKILL' }, runs: 1 });
});

it.each([
  ['ignore', 1_500],
  ['kill', 30_000],
])('G13: a later SIGTERM, with signalRepeat %s', async (signalRepeat, graceMs) => {
  const teardown = [{ signal: 'SIGTERM', graceMs }];
  const { child, ended, lines, until } = await start(
    { signals: { SIGTERM: 'teardown' }, signalWindowMs: 0, signalRepeat, teardown },
    'report-signals',
  );
  child.kill('SIGTERM');
  await until(/^got 15 1/);
  child.kill('SIGTERM');
  const { outcome } = await ended();
  expect(lines(/^got 15/)).toEqual(['got 15 1']);
  expect(outcome).toMatchObject({ kind: 'aborted', reason: 'signal', signals: ['SIGTERM', 'SIGTERM'] });
  expect(outcome.report?.durationMs)[signalRepeat === 'kill' ? 'toBeLessThan' : 'toBeGreaterThan'](
    signalRepeat === 'kill' ? 10_000 : graceMs - 50,
  );
});

it('G13: without a policy there is no handler, and the supervisor dies of the signal', async () => {
  const { child, ready, closed } = await start({}, 'sleep');
  expect(ready.handled).toEqual([]);
  child.kill('SIGTERM');
  expect(await closed).toEqual([null, 'SIGTERM']);
  await waitUntil(() => scenario.alive().length === 0, { what: 'the guardian has ended the tree' });
});

it('G13: many supervisions share a handler, which goes with the last one, and leave those of others alone', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  const own = () => {};
  process.on('warning', warned).on('SIGHUP', own);
  scenario.defer(() => process.off('warning', warned).off('SIGHUP', own));
  const counts = () => SIGNALS.map((name) => process.listenerCount(name));
  const before = counts();
  const tasks = Array.from({ length: 12 }, () =>
    supervise(member, ['sleep'], { env: scenario.env, signals: { SIGHUP: 'teardown', SIGUSR2: 'drain' } }),
  );
  await Promise.all(tasks.map((task) => task.ready));
  expect(counts()).toEqual(before.map((count, i) => count + (i >= 2 ? 1 : 0)));
  await Promise.all(tasks.slice(1).map((task) => task.stop()));
  expect(counts()[2]).toBe(2);
  process.kill(process.pid, 'SIGHUP');
  expect(await tasks[0]?.outcome).toMatchObject({ kind: 'aborted', reason: 'signal', signals: ['SIGHUP'] });
  expect(counts()).toEqual(before);
  expect(warnings).toEqual([]);
});
