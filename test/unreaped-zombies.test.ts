import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { spawn } from '../dist/index.js';
import { isDead, stat } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { startPlain } from './support/plain.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;

it('G9: a group of nothing but zombies that nobody reaps is reported empty', async () => {
  scenario.leaves();
  const { group, ready } = await startMember(scenario, ['unreaped-member'], { containment: 'group' });
  const [holder = 0, member = 0] = ready.members;
  expect(stat(holder)?.pgid).not.toBe(group.pgid);
  expect(stat(member)?.pgid).toBe(group.pgid);
  const report = await group.stop();
  expect(report).toMatchObject({ empty: true, survivors: [], cause: 'stop' });
  // The zombie still answers a signal to the group: emptiness cannot rest on that.
  expect(stat(member)).toMatchObject({ state: 'Z', ppid: holder });
  expect(process.kill(-group.pgid, 0)).toBe(true);
  expect(report.evidence).toBe('census');
  expect(report.durationMs).toBeLessThan(3_000);
  // Who left the group is not covered by it.
  expect(scenario.alive().map(({ pid }) => pid)).toEqual([holder]);
});

it('G9: a group that ends by itself and leaves a zombie that nobody reaps is seen empty', async () => {
  scenario.leaves();
  const { group, ready } = await startMember(scenario, ['unreaped-member'], { containment: 'group' });
  for (const pid of [ready.pid, ready.members[1] ?? 0]) process.kill(pid, 'SIGKILL');
  expect(await group.gone).toMatchObject({ empty: true, cause: null, survivors: [] });
  expect(stat(ready.members[1] ?? 0)?.state).toBe('Z');
});

it('G9: a process whose main thread has ended reads Z, and is no zombie', async () => {
  const { group, ready } = await startMember(scenario, ['main-thread-ended'], { teardown });
  const [member = 0] = ready.members;
  expect(stat(member)?.state).toBe('Z');
  expect(isDead(member)).toBe(false);
  expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([ready.pid, member].sort());
  const report = await group.stop();
  expect(scenario.alive()).toEqual([]);
  expect(report).toMatchObject({ empty: true, survivors: [] });
  expect(report.steps.map((step) => step.signal)).toContain('SIGKILL');
});

it('G9: control: such a process survives a SIGTERM to its group, and the oracle sees it', async () => {
  const { child, ready, exited } = await startPlain(scenario, ['main-thread-ended']);
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  await exited;
  expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
});

/** A chain of that many generations, and a look at how many there have been. No look at /proc finds its members for certain. */
function chainOf(generations: number) {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-chain-'));
  scenario.defer(() => rmSync(folder, { recursive: true }));
  const counter = join(folder, 'counter');
  writeFileSync(counter, Buffer.alloc(4));
  return { args: ['fork-chain', String(generations), counter], count: () => readFileSync(counter).readInt32LE() };
}

async function grows(count: () => number): Promise<boolean> {
  const first = count();
  for (let i = 0; i < 50; i++) {
    await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
    if (count() !== first) return true;
  }
  return false;
}

it('G9: a chain that forks and exits as fast as it can is brought to zero', async () => {
  const chain = chainOf(200_000); // some seconds: it does not end by itself before it is looked at
  const { group } = await startMember(scenario, chain.args, { teardown });
  expect(await grows(chain.count)).toBe(true);
  expect(await group.stop()).toMatchObject({ empty: true, survivors: [] });
  expect(await grows(chain.count)).toBe(false);
});

it('G9: control: such a chain survives its leader', async () => {
  const chain = chainOf(6_000); // its zombies are reaped by init, which may be slow at it
  const { child, exited } = await startPlain(scenario, chain.args);
  scenario.leaves(); // it ends by itself
  child.kill('SIGKILL');
  await exited;
  expect(await grows(chain.count)).toBe(true);
});
