// A scope ends with its parent and with its abort signal, also where its body never settles; bad input starts nothing.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ProcessScope } from '../dist/scope.js';
import { footprint, useScenario } from './support/scenario.js';
import { rejection, startIn, TERM } from './support/start-in.js';

const scenario = useScenario();
const options = { containment: 'group' } as const;
const never = () => new Promise<never>(() => {});

describe('nested scopes', () => {
  it('an inner scope ends with its parent, which reports its groups too', async () => {
    const outer = new ProcessScope({ name: 'outer', teardown: TERM(500) });
    const inner = new ProcessScope({ name: 'inner', parent: outer, teardown: TERM(500) });
    const innermost = new ProcessScope({ name: 'innermost', parent: inner, teardown: TERM(500) });
    const pids: number[] = [];
    for (const scope of [outer, inner, innermost]) {
      pids.push((await startIn(scope, scenario, ['ignore-term'], options)).group.pid);
    }
    const report = await outer.end();
    expect(scenario.alive()).toEqual([]);
    expect(report.groups.map(({ pid }) => pid).sort()).toEqual([...pids].sort());
    expect(report.durationMs, 'in parallel').toBeLessThan(1_400);
    expect(innermost.report?.groups.map(({ pid }) => pid)).toEqual([pids.at(-1)]);
    expect(inner.signal.reason).toMatchObject({ code: 'ERR_SCOPE_ENDED', cause: { message: 'outer has ended' } });
  });

  it('an inner scope may end first, and its groups alone', async () => {
    const outer = new ProcessScope();
    const kept = await startIn(outer, scenario, ['sleep'], options);
    const inner = new ProcessScope({ parent: outer });
    await startIn(inner, scenario, ['sleep'], options);
    expect(await inner.end()).toMatchObject({ empty: true, groups: [{ report: { empty: true } }] });
    expect(scenario.alive().map(({ pid }) => pid)).toEqual([kept.group.pid]);
    expect((await outer.end()).groups.map(({ pid }) => pid)).toEqual([kept.group.pid]);
  });

  it('reverse order takes an inner scope in its turn', async () => {
    const outer = new ProcessScope({ order: 'reverse' });
    const inner = new ProcessScope({ parent: outer, teardown: TERM(200) });
    const stubborn = await startIn(inner, scenario, ['ignore-term'], options);
    const last = await startIn(outer, scenario, ['ignore-term'], { ...options, teardown: TERM(200) });
    const report = await outer.end();
    expect(report.groups.map(({ pid }) => pid)).toEqual([last.group.pid, stubborn.group.pid]);
    expect(report.durationMs).toBeGreaterThanOrEqual(396);
  });

  it("the parent's deadline is the inner scope's", async () => {
    const outer = new ProcessScope({ order: 'reverse', deadlineMs: 300 });
    const inner = new ProcessScope({ parent: outer, deadlineMs: 60_000, teardown: TERM(60_000) });
    await startIn(inner, scenario, ['ignore-term'], options);
    const report = await outer.end();
    expect(scenario.alive()).toEqual([]);
    expect(report.durationMs).toBeGreaterThanOrEqual(298);
    expect(report.durationMs).toBeLessThan(1_300);
  });

  it('run() of an inner scope whose body hangs rejects when the parent ends', async () => {
    const outer = new ProcessScope({ name: 'outer' });
    let began: () => void = () => {};
    const running = new Promise<void>((resolve) => {
      began = resolve;
    });
    const body = async (scope: ProcessScope) => {
      await startIn(scope, scenario, ['sleep'], options);
      began();
      await never();
    };
    const inner = rejection(ProcessScope.run(body, { parent: outer }));
    await running;
    await outer.end();
    expect(await inner).toMatchObject({ code: 'ERR_SCOPE_ENDED', message: 'outer has ended' });
    expect(scenario.alive()).toEqual([]);
  });
});

describe('the abort signal', () => {
  it('run() rejects with AbortError once the groups are gone, also where the body never settles', async () => {
    const controller = new AbortController();
    const error = await rejection(
      ProcessScope.run(
        async (scope) => {
          await startIn(scope, scenario, ['grandchild-ignores-term'], options);
          controller.abort('enough');
          await never();
        },
        { signal: controller.signal, teardown: TERM(100) },
      ),
    );
    expect(scenario.alive()).toEqual([]);
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('has fired before: the body is not called', async () => {
    let called = 0;
    const error = await rejection(ProcessScope.run(() => ++called, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: 'ABORT_ERR' });
    expect(called).toBe(0);
    const scope = new ProcessScope({ signal: AbortSignal.abort() });
    expect(await rejection(scope.spawn('true'))).toMatchObject({
      code: 'ERR_SCOPE_ENDED',
      cause: { code: 'ABORT_ERR' },
    });
    expect(await scope.end()).toMatchObject({ empty: true, groups: [] });
  });

  it('the value of a body that does settle is given, and no listener stays', async () => {
    const { signal } = new AbortController();
    const value = await ProcessScope.run(
      async (scope) => {
        await startIn(scope, scenario, ['sleep'], options);
        expect(getEventListeners(signal, 'abort').length, 'control').toBeGreaterThan(0);
        return 42;
      },
      { signal },
    );
    expect(value).toBe(42);
    expect(scenario.alive()).toEqual([]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    // end() inside the body is the body's own affair.
    expect(await ProcessScope.run((scope) => scope.end().then(() => 'still here'), { signal })).toBe('still here');
  });

  it("abort, the body's error and the parent's end at the same time: one teardown, the first error", async () => {
    const controller = new AbortController();
    const outer = new ProcessScope();
    const error = await rejection(
      ProcessScope.run(
        async (scope) => {
          await startIn(scope, scenario, ['ignore-term'], options);
          controller.abort();
          void outer.end();
          void scope.kill();
          void scope[Symbol.asyncDispose]();
          throw new Error('late');
        },
        { signal: controller.signal, parent: outer, teardown: TERM(100) },
      ),
    );
    expect(error).toMatchObject({ code: 'ABORT_ERR' });
    expect(await outer.end()).toMatchObject({ empty: true, groups: [{ report: { empty: true } }] });
    expect(scenario.alive()).toEqual([]);
  });
});

describe('bad input', () => {
  const bad: [name: string, options: unknown, code: string][] = [
    ['options: a string', 'x', 'ERR_INVALID_ARG_TYPE'],
    ['options: null', null, 'ERR_INVALID_ARG_TYPE'],
    ['name: a number', { name: 1 }, 'ERR_INVALID_ARG_TYPE'],
    ['order: unknown', { order: 'forward' }, 'ERR_INVALID_ARG_VALUE'],
    ['deadlineMs: negative', { deadlineMs: -1 }, 'ERR_OUT_OF_RANGE'],
    ['deadlineMs: NaN', { deadlineMs: Number.NaN }, 'ERR_OUT_OF_RANGE'],
    ['deadlineMs: a string', { deadlineMs: '1' }, 'ERR_INVALID_ARG_TYPE'],
    ['killWaitMs: negative', { killWaitMs: -1 }, 'ERR_OUT_OF_RANGE'],
    ['teardown: an unknown signal', { teardown: [{ signal: 'SIGNOPE', graceMs: 1 }] }, 'ERR_UNKNOWN_SIGNAL'],
    ['parent: no scope', { parent: {} }, 'ERR_INVALID_ARG_TYPE'],
    ['signal: no AbortSignal', { signal: {} }, 'ERR_INVALID_ARG_TYPE'],
  ];

  it.each(bad)('%s', async (_, value, code) => {
    const refused = expect.objectContaining({ name: 'ProcessGroupError', code });
    expect(() => new ProcessScope(value as never)).toThrow(refused);
    expect(await rejection(ProcessScope.run(() => expect.unreachable(), value as never))).toEqual(refused);
  });

  it('a body, a handle, options of a spawn that are none: typed errors, and nothing is left', async () => {
    const scope = new ProcessScope();
    const type = { code: 'ERR_INVALID_ARG_TYPE' };
    const before = footprint();
    expect(await rejection(ProcessScope.run('body' as never))).toMatchObject(type);
    for (const handle of [null, undefined, 1, {}, { kill() {} }, Promise.resolve()]) {
      expect(() => scope.adopt(handle as never)).toThrow(expect.objectContaining(type));
    }
    expect(await rejection(scope.spawn('true', [], 'options' as never))).toMatchObject(type);
    expect(await rejection(scope.spawn('true', 5 as never))).toMatchObject(type);
    expect(await rejection(scope.spawn(''))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect(await scope.end()).toMatchObject({ empty: true, groups: [], errors: [] });
    expect(footprint()).toEqual(before);
  });
});
