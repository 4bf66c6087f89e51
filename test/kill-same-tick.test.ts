import { expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

// The subject leads its own group with a sibling in it that reports every signal. SIGKILL to that group would end the
// subject without output. `stray` shows that the sibling would have told.
const source = `
const rounds = ${scaled(1000)};
const sibling = nodeProcess.spawn(member, ['report-signals'], { stdio: ['ignore', 'pipe', 'inherit'] });
await readReady(sibling.stdout);
const got = [];
sibling.stdout.on('data', (chunk) => got.push(...String(chunk).trim().split('\\n'))).resume();
const own = [];
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => own.push(name));
const ends = {};
const targets = {};
let busy = 0;
const one = async (round) => {
  const isolation = round % 2 ? 'group' : 'session';
  const group = await spawn(member, ['sleep'], { isolation, stdio: 'ignore' });
  const first = round % 3 === 0 ? 'SIGTERM' : 'SIGKILL';
  const target = group.signal(first);
  targets[target] = (targets[target] ?? 0) + 1;
  const report = round % 5 === 0 ? await group.kill() : await group.gone;
  const { signal } = await group.exited;
  const end = signal + ' ' + report.empty;
  ends[end] = (ends[end] ?? 0) + 1;
};
for (let round = 0; round < rounds; ) {
  await Promise.all(Array.from({ length: Math.min(20, rounds - round) }, () => one(round++)));
}
const before = got.length;
process.kill(sibling.pid, 'SIGTERM');
await oracle.waitUntil(() => got.length > before);
sibling.kill('SIGUSR1');
await new Promise((resolve) => sibling.once('exit', resolve));
console.log(JSON.stringify({ ends, targets, own, stray: before, seen: got.length, zombies: oracle.zombieChildrenOf() }));
`;

it('G2: spawn and signal in the same tick: the own group never gets a signal', async () => {
  const rounds = scaled(1000);
  const run = await runNodeJson<{
    ends: Record<string, number>;
    targets: Record<string, number>;
    own: string[];
    stray: number;
    seen: number;
    zombies: number[];
  }>({ source }, { env: scenario.env, timeoutMs: 55_000 });
  expect(run).toMatchObject({ own: [], stray: 0, seen: 1, zombies: [] });
  expect(run.targets).toEqual({ group: rounds });
  const { 'SIGKILL true': killed = 0, 'SIGTERM true': terminated = 0, ...other } = run.ends;
  expect(other).toEqual({});
  expect(killed + terminated).toBe(rounds);
});

it('G2: control: a signal to the own group does reach the sibling and the subject', async () => {
  const control = `
    const sibling = nodeProcess.spawn(member, ['report-signals'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await readReady(sibling.stdout);
    const own = new Promise((resolve) => process.once('SIGTERM', resolve));
    const seen = new Promise((resolve) => sibling.stdout.once('data', (chunk) => resolve(String(chunk))));
    sibling.stdout.resume();
    process.kill(-oracle.stat(process.pid).pgid, 'SIGTERM');
    await own;
    console.log(JSON.stringify(await seen));
    sibling.kill('SIGUSR1');`;
  const seen = await runNodeJson<string>({ source: control }, { env: scenario.env, via: ['setsid', '-w'] });
  expect(seen).toBe('got 15 1\n');
});
