// A workload that is not ready in time, does not answer in time, or is aborted: told first, then torn down.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runWorkload, WorkloadError, WorkloadPool } from '../dist/workload.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { allowance, scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { rejection, work, workloads } from './support/workloads.js';

const scenario = useScenario();

/** The run's error, after which nothing may be left. */
async function failed(exportName: string, payload?: unknown, options = {}) {
  const error = await rejection(work(scenario, exportName, payload, options));
  expect(error).toBeInstanceOf(WorkloadError);
  expect(scenario.alive()).toEqual([]);
  return error;
}

describe('T6 deadlines', () => {
  it.each([
    ['its module never finishes loading', 'data:text/javascript,setInterval(()=>{},1e6);await new Promise(()=>{})'],
    ['its module is busy for ever', 'data:text/javascript,for(;;);'],
  ])('T6: never ready, since %s: torn down at startMs', async (_, module) => {
    const begin = performance.now();
    const error = await rejection(runWorkload(module, 1, { env: scenario.env, startMs: 700 }));
    const ms = performance.now() - begin;
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_START_TIMEOUT', exit: { signal: 'SIGTERM' } });
    expect(ms).toBeGreaterThanOrEqual(690);
    expect(ms).toBeLessThan(20_000);
    expect(scenario.alive()).toEqual([]);
  });

  it('T6: never ready, since the program is no Node at all', async () => {
    const error = await failed('default', 1, {
      execPath: member,
      execArgv: ['ignore-term'],
      startMs: 300,
      teardown: [],
    });
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_START_TIMEOUT', exit: { signal: 'SIGKILL' } });
  });

  it('startMs does not count once the workload has begun', async () => {
    expect(await work(scenario, 'slowValue', 4_500, { startMs: 4_000 })).toBe('slow');
  });

  it('timeoutMs: told first, then torn down', async () => {
    const pool = new WorkloadPool({ env: scenario.env, preload: [workloads] });
    await pool.ready();
    const payload = { file: '/dev/null', answer: 'reason' };
    const options = { exportName: 'heeds', timeoutMs: 2_500, abortGraceMs: allowance(1_000) };
    const told = await rejection(pool.run(workloads, payload, options));
    await pool.close();
    expect(told).toBeInstanceOf(WorkloadError);
    expect(told).toMatchObject({ code: 'ERR_WORKLOAD_TIMEOUT', exit: { code: 0 } });
    const busy = await failed('busy', 1, { timeoutMs: 700, abortGraceMs: 100 });
    expect(busy).toMatchObject({ code: 'ERR_WORKLOAD_TIMEOUT', exit: { signal: 'SIGTERM' } });
  });

  it('timeoutMs holds while our own event loop is blocked: the engine has the deadline too', async () => {
    const { diedAfter, code } = await runNodeJson<{ diedAfter: number; code: string }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const options = { exportName: 'ignoresTerm', timeoutMs: 4000, abortGraceMs: 100, teardown: [] };
          const run = runWorkload(${JSON.stringify(workloads.href)}, 1, options);
          run.catch(() => {});
          const { value: pid } = await run.progress[Symbol.asyncIterator]().next();
          const begin = performance.now();
          let diedAfter = -1;
          while (performance.now() - begin < 20000 && diedAfter < 0) if (oracle.isDead(pid)) diedAfter = performance.now() - begin;
          const { code } = await run.catch((error) => error);
          console.log(JSON.stringify({ diedAfter, code }));`,
      },
      { env: scenario.env },
    );
    expect(diedAfter).toBeGreaterThan(0);
    expect(diedAfter).toBeLessThan(15_000);
    expect(code).toBe('ERR_WORKLOAD_TIMEOUT');
  });
});

describe('an abort', () => {
  function file(): string {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-abort-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    return join(folder, 'said');
  }

  it.each(['reason', 'value', 'string'])(
    "reaches the workload's own signal first; it answers with its %s",
    async (answer) => {
      const said = file();
      const controller = new AbortController();
      const run = work(scenario, 'heeds', { file: said, answer }, { signal: controller.signal, abortGraceMs: 20_000 });
      const why = Object.assign(new RangeError('taken away'), { detail: { job: 7 } });
      const reading = (async () => {
        for await (const _ of run.progress) controller.abort(why);
      })();
      const error = await rejection(run);
      expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
      expect(error.cause).toBe(why);
      expect(await rejection(reading)).toBe(error);
      expect(readFileSync(said, 'utf8')).toBe('aborted: RangeError taken away [object Object]\n');
      const { exit, report } = await run.ended;
      expect([exit?.code, exit?.signal, report?.steps]).toEqual([0, null, []]);
    },
  );

  const cyclic: unknown[] = [new Error('in it')];
  cyclic.push(cyclic);
  const hostile = new Proxy(new Error('behind'), {
    getPrototypeOf() {
      throw new Error('sprung');
    },
  });
  it.each([
    ['a list that contains itself', cyclic, /^aborted: undefined Error: in it/],
    [
      'an error whose message is no text',
      Object.assign(new Error('x'), { message: Object.create(null) }),
      /^aborted: Error \[Object: null/,
    ],
    ['a proxy that refuses', hostile, /^aborted: /],
  ])('its reason is %s: the workload is told all the same', async (_, why, told) => {
    const said = file();
    const controller = new AbortController();
    const payload = { file: said, answer: 'value' };
    const run = work(scenario, 'heeds', payload, { signal: controller.signal, abortGraceMs: 20_000 });
    const reading = (async () => {
      for await (const _ of run.progress) controller.abort(why);
    })();
    const error = await rejection(run);
    expect(error.code).toBe('ABORT_ERR');
    expect(error.cause).toBe(why);
    await rejection(reading);
    expect(readFileSync(said, 'utf8')).toMatch(told);
    expect((await run.ended).exit).toMatchObject({ code: 0 });
  });

  it('one that it does not answer: the ladder after abortGraceMs', async () => {
    const said = file();
    const controller = new AbortController();
    const run = work(
      scenario,
      'heeds',
      { file: said, answer: 'nothing' },
      { signal: controller.signal, abortGraceMs: 300 },
    );
    let began = 0;
    for await (const _ of run.progress) {
      began = performance.now();
      controller.abort();
      break;
    }
    expect(await rejection(run)).toMatchObject({ code: 'ABORT_ERR' });
    expect(performance.now() - began).toBeGreaterThanOrEqual(290);
    expect(readFileSync(said, 'utf8')).toMatch(/^aborted: AbortError/);
    const { exit, report } = await run.ended;
    expect(exit?.signal).toBe('SIGTERM');
    expect(report).toMatchObject({ empty: true, cause: 'abort' });
    expect(scenario.alive()).toEqual([]);
  });

  it('one that ignores SIGTERM too gets SIGKILL', async () => {
    const controller = new AbortController();
    const options = {
      signal: controller.signal,
      abortGraceMs: 50,
      teardown: [{ signal: 'SIGTERM', graceMs: 200 }],
    } as const;
    const run = work(scenario, 'ignoresTerm', 1, options);
    for await (const _ of run.progress) {
      controller.abort();
      break;
    }
    await rejection(run);
    expect((await run.ended).exit?.signal).toBe('SIGKILL');
    expect(scenario.alive()).toEqual([]);
  });

  it('before anything was started, while it is being spawned, while it starts', async () => {
    const early = work(scenario, 'default', 1, { signal: AbortSignal.abort(new Error('early')) });
    expect(await rejection(early)).toMatchObject({ code: 'ABORT_ERR', cause: { message: 'early' } });
    expect((await early.ended).report).toBeNull();
    for (let round = 0; round < scaled(60); round++) {
      const controller = new AbortController();
      const run = work(scenario, 'default', 1, { signal: controller.signal });
      const turns = Math.floor(Math.random() * 12);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      expect(await rejection(run)).toMatchObject({ code: 'ABORT_ERR' });
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('after the value: none', async () => {
    const controller = new AbortController();
    expect(await work(scenario, 'default', 5, { signal: controller.signal })).toBe(5);
    controller.abort();
  });
});
