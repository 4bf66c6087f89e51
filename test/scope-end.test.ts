// What a scope holds goes down when it ends: in parallel or in turn, in bounded time, whoever ends it, and nothing else does.
import diagnostics from 'node:diagnostics_channel';
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, spawn } from '../dist/index.js';
import { ProcessScope, type ScopeReport } from '../dist/scope.js';
import { isDead, waitUntil } from './support/oracle.js';
import { dist, member } from './support/paths.mjs';
import { runNode, runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';
import { rejection, startIn, TERM } from './support/start-in.js';
import { holdByTracer } from './support/tracer.js';

const GRACE_MS = 500;
/** What a busy machine may add. */
const SLACK_MS = 900;
const scenario = useScenario();
const pidsOf = (report: ScopeReport) => report.groups.map(({ pid }) => pid);

async function three(scope: ProcessScope): Promise<number[]> {
  const pids: number[] = [];
  for (const verb of ['sleep', 'ignore-term', 'ignore-term']) {
    pids.push((await startIn(scope, scenario, [verb], { containment: 'group' })).group.pid);
  }
  return pids;
}

describe('S2: two helpers ignore SIGTERM', () => {
  it('S2: both go, and the time is the maximum of their graces', async () => {
    const scope = new ProcessScope({ teardown: TERM(GRACE_MS) });
    const pids = await three(scope);
    const report = await scope.end();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject({ name: 'scope', empty: true, errors: [] });
    expect(report.durationMs).toBeGreaterThanOrEqual(GRACE_MS - 2);
    expect(report.durationMs).toBeLessThan(GRACE_MS + SLACK_MS);
    expect(pidsOf(report).sort()).toEqual(pids.sort());
    expect(report.groups.map((one) => one.report.cause)).toEqual(['dispose', 'dispose', 'dispose']);
    expect(scope.report).toBe(report);
    expect(await scope.end()).toBe(report);
  });

  it('S2: control: in reverse order the time is the sum, and the last one started goes first', async () => {
    const scope = new ProcessScope({ order: 'reverse', teardown: TERM(GRACE_MS) });
    const pids = await three(scope);
    const report = await scope.end();
    expect(scenario.alive()).toEqual([]);
    expect(pidsOf(report)).toEqual(pids.reverse());
    expect(report.durationMs).toBeGreaterThanOrEqual(2 * GRACE_MS - 4);
  });
});

describe('the total time is bounded', () => {
  for (const order of ['parallel', 'reverse'] as const) {
    it(`at deadlineMs what is left gets SIGKILL: ${order}`, async () => {
      const scope = new ProcessScope({ order, deadlineMs: 300, teardown: TERM(60_000) });
      await three(scope);
      const report = await scope.end();
      expect(scenario.alive()).toEqual([]);
      expect(report.empty).toBe(true);
      expect(report.durationMs).toBeGreaterThanOrEqual(298);
      expect(report.durationMs).toBeLessThan(300 + SLACK_MS);
    });
  }

  it('kill() does not wait for graces', async () => {
    const scope = new ProcessScope({ order: 'reverse', teardown: TERM(60_000) });
    await three(scope);
    void scope.end();
    expect((await scope.kill()).durationMs).toBeLessThan(SLACK_MS);
    expect(scenario.alive()).toEqual([]);
  });

  it('a group that does not tell its end is named when killWaitMs and a second have passed since', async () => {
    const scope = new ProcessScope({ name: 'slow', deadlineMs: 200, killWaitMs: 200, teardown: TERM(50) });
    const { group } = await startIn(scope, scenario, ['sleep'], { containment: 'group', killWaitMs: 2_500 });
    await holdByTracer(scenario, group.pid);
    const report = await scope.end();
    expect(report.durationMs).toBeGreaterThanOrEqual(1_398);
    expect(report.durationMs).toBeLessThan(1_400 + SLACK_MS);
    expect(report).toMatchObject({ empty: false, groups: [], errors: [{ code: 'ERR_SURVIVORS' }] });
    expect(report.errors[0]?.message).toBe(`slow: process group ${group.pgid} has not come to its end in time`);
    await group.gone;
  });
});

describe('what a scope holds', () => {
  it('a handle from elsewhere can be adopted, once', async () => {
    const scope = new ProcessScope();
    const { group } = await startMember(scenario, ['sleep'], { containment: 'tree' });
    expect(scope.adopt(group)).toBe(group);
    expect(scope.adopt(group)).toBe(group);
    expect(pidsOf(await scope.end())).toEqual([group.pid]);
    expect(scenario.alive()).toEqual([]);
  });

  it('what has ended by itself is no part of the report; what ended with survivors is', async () => {
    const scope = new ProcessScope();
    for (let i = 0; i < 20; i++) await (await scope.spawn('true', [], { stdio: 'ignore', containment: 'group' })).gone;
    const { group } = await startIn(scope, scenario, ['sleep'], {
      containment: 'group',
      killWaitMs: 200,
      teardown: [],
    });
    await holdByTracer(scenario, group.pid);
    await group.stop();
    const report = await scope.end();
    expect(report).toMatchObject({ empty: false, groups: [{ pid: group.pid }], errors: [{ code: 'ERR_SURVIVORS' }] });
  });

  it('G15: a released group is left alone, also past the deadline', async () => {
    scenario.leaves();
    const scope = new ProcessScope({ order: 'reverse', deadlineMs: 100, teardown: TERM(60_000) });
    const options = { containment: 'tree', lifetime: 'releasable' } as const;
    const kept = await startIn(scope, scenario, ['sleep'], options);
    await startIn(scope, scenario, ['ignore-term'], options);
    kept.group.release();
    expect(await scope.end()).toMatchObject({ empty: true, groups: [{ report: { empty: true } }] });
    const alive = scenario.alive().map(({ pid }) => pid);
    expect(alive).toContain(kept.group.pid);
    expect(alive.length, 'it and its guardian').toBeLessThanOrEqual(2);
    await kept.group.kill();
  });

  it('scope.signal fires when the end begins', async () => {
    const scope = new ProcessScope();
    const { group } = await startIn(scope, scenario, ['sleep'], { containment: 'group' });
    let dead: boolean | undefined;
    scope.signal.addEventListener('abort', () => {
      dead = isDead(group.pid);
    });
    expect(scope.signal.aborted).toBe(false);
    const ending = scope.end();
    expect(dead).toBe(false);
    expect(scope.signal.reason).toMatchObject({ code: 'ERR_SCOPE_ENDED' });
    await ending;
  });

  it('its end is published with its report', async () => {
    const messages: unknown[] = [];
    const listen = (message: unknown) => messages.push(message);
    diagnostics.subscribe('procgroup:scope', listen);
    scenario.defer(() => diagnostics.unsubscribe('procgroup:scope', listen));
    const scope = new ProcessScope({ name: 'mine' });
    const report = await scope.end();
    expect(messages).toEqual([{ scope, report }]);
  });
});

describe('a scope that has ended', () => {
  const ended = { name: 'ProcessGroupError', code: 'ERR_SCOPE_ENDED', message: 'mine has ended' };

  it('refuses a spawn, a handle and a nested scope, and leaves the handle alone', async () => {
    const scope = new ProcessScope({ name: 'mine' });
    const ending = scope.end();
    expect(await rejection(scope.spawn(member, ['sleep'], { env: scenario.env }))).toMatchObject(ended);
    await ending;
    expect(await rejection(scope.spawn(member, ['sleep'], { env: scenario.env }))).toMatchObject(ended);
    const { group } = await startMember(scenario, ['sleep'], { containment: 'group' });
    expect(() => scope.adopt(group)).toThrow(expect.objectContaining(ended));
    expect(() => new ProcessScope({ parent: scope })).toThrow(expect.objectContaining(ended));
    expect(group.state).toBe('running');
    await group.kill();
  });

  it(`a spawn that is under way leaves nothing, ${scaled(50)} times`, async () => {
    let refused = 0;
    for (let round = 0; round < scaled(50); round++) {
      const scope = new ProcessScope({ name: 'mine', teardown: TERM(100) });
      const options = { env: scenario.env, stdio: 'ignore', containment: round % 2 ? 'tree' : 'group' } as const;
      const started = [1, 2, 3].map(() => scope.spawn(member, ['ignore-term'], options));
      // Some rounds end while the news of the exec is on its way.
      if (round % 3 > 0) await new Promise((resolve) => setImmediate(resolve));
      const report = await scope.end();
      expect(report.empty).toBe(true);
      expect(scenario.alive()).toEqual([]);
      for (const one of await Promise.allSettled(started)) {
        if (one.status === 'rejected') {
          refused += 1;
          expect(one.reason).toMatchObject(ended);
        } else expect(one.value.state, 'it was quicker').toBe('empty');
      }
    }
    expect(refused, 'control: some were under way').toBeGreaterThan(0);
  });

  it('the signal of a spawn keeps its meaning, and no listener stays', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const scope = new ProcessScope();
    const options = { containment: 'group', signal } as const;
    const pending = new AbortController();
    const spawning = scope.spawn(member, ['sleep'], { env: scenario.env, signal: pending.signal });
    pending.abort('enough');
    expect(await rejection(spawning)).toMatchObject({ code: 'ABORT_ERR', cause: 'enough' });
    expect(await rejection(scope.spawn('/no/such/program', [], { signal }))).toMatchObject({ code: 'ENOENT' });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    const { group: stopped } = await startIn(scope, scenario, ['sleep'], options);
    await stopped.stop();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    const { group: aborted } = await startIn(scope, scenario, ['sleep'], options);
    expect(getEventListeners(signal, 'abort'), 'control').toHaveLength(1);
    expect(getEventListeners(scope.signal, 'abort')).toEqual([]);
    controller.abort();
    expect(await aborted.gone).toMatchObject({ empty: true, cause: 'abort' });
    const { group: ended } = await startIn(scope, scenario, ['sleep'], { containment: 'group' });
    await scope.end();
    expect(await ended.gone).toMatchObject({ empty: true, cause: 'dispose' });
  });

  it('a spawn under way that nobody waits for is no unhandled rejection', async () => {
    const run = await runNode(
      {
        source: `
          const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
          await ProcessScope.run((scope) => {
            scope.spawn(member, ['ignore-term']);
            throw new Error('the first and only');
          }).catch((error) => console.log(error.message));`,
      },
      { env: scenario.env },
    );
    expect(run).toMatchObject({ code: 0, stdout: 'the first and only\n', stderr: '' });
    expect(scenario.alive()).toEqual([]);
  });

  it('a spawn that fails is the error of its caller, and does not concern the scope', async () => {
    const scope = new ProcessScope();
    expect(await rejection(scope.spawn('/no/such/file'))).toMatchObject({ code: 'ENOENT', stage: 'exec' });
    expect(await scope.end()).toMatchObject({ empty: true, groups: [] });
  });
});

it('S3: a scope ends also where its groups were unref’ed, and a scope that nobody ends does not keep the process', async () => {
  const said = await runNodeJson<{ empty: boolean; dead: boolean[] }>(
    {
      source: `
        const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
        new ProcessScope({ deadlineMs: 60_000, signal: new AbortController().signal });
        const scope = new ProcessScope({ teardown: [{ signal: 'SIGTERM', graceMs: 300 }] });
        const groups = [];
        for (let i = 0; i < 3; i++) {
          const group = await scope.spawn(member, ['ignore-term'], { stdio: ['ignore', 'pipe', 'inherit'] });
          await readReady(group.stdout);
          groups.push(group.unref());
        }
        // Nothing else keeps the loop alive: an end that did not hold it would end the process with 13.
        const { empty } = await scope.end();
        console.log(JSON.stringify({ empty, dead: groups.map(({ pid }) => oracle.isDead(pid)) }));`,
    },
    { env: scenario.env },
  );
  expect(said).toEqual({ empty: true, dead: [true, true, true] });
});

it('a long-lived scope keeps nothing of the groups that have ended', async () => {
  const scope = new ProcessScope();
  const refs: WeakRef<ProcessGroup>[] = [];
  for (let i = 0; i < 50; i++) {
    const group = scope.adopt(await spawn('true', [], { stdio: 'ignore', containment: 'group' }));
    await group.gone;
    refs.push(new WeakRef(group));
  }
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--expose-gc');
  const gc = (await import('node:vm')).runInNewContext('gc') as () => void;
  await waitUntil(() => {
    gc();
    return refs.filter((ref) => ref.deref() !== undefined).length < 5;
  });
  await scope.end();
});
