// What a workload throws arrives: message, stack, cause, own fields, AggregateError's errors.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, types } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { ProcessGroupError } from '../dist/index.js';
import { runWorkload, WorkloadError } from '../dist/workload.js';
import { decodeThrown, encodeThrown } from '../dist/workload-envelope.js';
import { subjectEnv } from './support/environment.mjs';
import { dist } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';
import { rejection, work } from './support/workloads.js';

const scenario = useScenario();
const thrown = (kind: string) => rejection(work(scenario, 'throws', kind));

describe('T3 the workload throws', () => {
  it('T3: message, stack, name and own fields; what cannot be cloned as its text', async () => {
    const error = await thrown('fields');
    expect(error).toBeInstanceOf(TypeError);
    expect(error).not.toBeInstanceOf(ProcessGroupError);
    expect(types.isNativeError(error)).toBe(true);
    expect({ ...error }).toEqual({
      name: 'Refused',
      status: 403,
      when: new Date(0),
      tags: new Map([['a', 1]]),
      again: '[Function: again]',
    });
    expect(error.message).toBe('no entry');
    expect(error.stack).toMatch(/^\w+: no entry\n\s+at .*fields.*workloads\.mjs:\d+:\d+/);
    expect(String(error)).toBe('Refused: no entry');
    expect(Object.keys(error)).not.toContain('stack');
  });

  it('T3: control: v8 serialisation alone drops them', () => {
    const error = Object.assign(new AggregateError([new Error('one')], 'all'), { code: 'X' });
    const back = deserialize(serialize(error));
    expect(back.message).toBe('all');
    expect([back.code, back.errors]).toEqual([undefined, undefined]);
  });

  it('T3: causes, also such that are no errors', async () => {
    const error = await thrown('cause');
    expect([error.message, error.cause.message, error.cause.cause]).toEqual(['outer', 'inner', { plain: [1, 2n] }]);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect(error.cause.stack).toContain('workloads.mjs');
    expect(Object.keys(error)).toEqual([]);
  });

  it("T3: AggregateError's errors with their own fields", async () => {
    const error = await thrown('aggregate');
    expect(error).toBeInstanceOf(AggregateError);
    expect(error.message).toBe('both');
    expect(error.errors.map((one: Error) => [one.constructor.name, one.message])).toEqual([
      ['TypeError', 'one'],
      ['Error', 'two'],
    ]);
    expect(error.errors[1].code).toBe('E2');
    expect(Object.keys(error)).toEqual([]);
  });

  it('T3: a cycle of causes', async () => {
    const error = await thrown('cycle');
    expect(error.cause.message).toBe('and round');
    expect(error.cause.cause).toBe(error);
  });

  it('T3: a DOMException, a system error', async () => {
    const dom = await thrown('dom');
    expect(dom).toBeInstanceOf(DOMException);
    expect([dom.name, dom.message, dom.code]).toEqual(['AbortError', 'gone', DOMException.ABORT_ERR]);
    const system = await thrown('system');
    expect(system).toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/no/such/file', errno: -2 });
  });

  it('T3: hostile errors: a getter that throws, an inspect function that throws', async () => {
    expect(await thrown('getter')).toMatchObject({ message: 'hostile', trap: '[unreadable]' });
    expect(await thrown('inspected')).toMatchObject({ message: 'hostile', trap: '[unreadable]' });
  });

  it('T3: errors in lists that contain themselves, in deep ones, and twice', async () => {
    const error = await thrown('ring');
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: 'round', code: 'E3', stack: expect.stringContaining('workloads.mjs') });
    expect(error.errors[0]).toBeInstanceOf(RangeError);
    expect(error.errors[1]).toBe(error.errors);
    expect(error.twice).toBe(error.errors);
    let depth = 0;
    for (let list = (await thrown('deep')).errors; list.length === 2; list = list[1]) depth++;
    expect(depth).toBe(10_000);
  });

  it('T3: a message that cannot become text, a proxy that refuses everything', async () => {
    const error = await thrown('textless');
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'E4', message: '[Object: null prototype] {}' });
    expect(await thrown('proxied')).toMatchObject({ code: 'ERR_WORKLOAD_THREW' });
  });

  it.each([
    ['string', 'just text'],
    ['undefined', undefined],
    ['foreign', { name: 'Error', message: 'no error' }],
    ['proxy', inspect(new Proxy({}, {}))],
  ])('T3: something that is no error (%s): ERR_WORKLOAD_THREW, with it as cause', async (kind, cause) => {
    const error = await thrown(kind);
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error.code).toBe('ERR_WORKLOAD_THREW');
    expect(error.cause).toEqual(cause);
  });

  it("T3: an error that has one of our codes is still the workload's own", async () => {
    const error = await thrown('workload');
    expect(error).not.toBeInstanceOf(WorkloadError);
    expect(error.code).toBe('ERR_WORKLOAD_EXITED');
  });

  it('T3: a rejection', async () => {
    const run = work(scenario, 'rejectsLater');
    const error = await rejection(run);
    expect(error).toBeInstanceOf(SyntaxError);
    expect(error.message).toBe('later');
    expect((await run.ended).exit).toMatchObject({ code: 0 });
  });

  it('T3: an uncaught exception and an unhandled rejection, beside the function', async () => {
    const run = work(scenario, 'uncaught');
    const error = await rejection(run);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ name: 'Refused', message: 'out of band', status: 500 });
    const { exit, stderr } = await run.ended;
    expect(exit).toMatchObject({ code: 1, signal: null });
    expect(stderr, 'Node prints it as ever').toContain('out of band');
    const unhandled = await rejection(work(scenario, 'unhandled'));
    expect(unhandled).toBeInstanceOf(RangeError);
    expect(unhandled.message).toBe('nobody looked');
  });

  it('T3: an uncaught exception that the workload handles itself is none', async () => {
    expect(await work(scenario, 'handledByItself')).toBe('went on');
  });

  it('T3: an error goes through two processes', async () => {
    const env = subjectEnv(scenario.env);
    const payload = { dist, exportName: 'throws', payload: 'fields' };
    const error = await rejection(work(scenario, 'nested', payload, { env }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ status: 403, message: 'no entry' });
    expect(error.stack).toContain('workloads.mjs');
  });
});

describe('the envelope', () => {
  const round = (value: unknown): unknown => decodeThrown(deserialize(serialize(encodeThrown(value))));

  it('10,000 errors in one, a chain of 10,000 causes', () => {
    const wide = round(
      new AggregateError(Array.from({ length: 10_000 }, (_, i) => new Error(`${i}`))),
    ) as AggregateError;
    expect(wide.errors[9_999].message).toBe('9999');
    let chain = new Error('0');
    for (let i = 1; i < 10_000; i++) chain = new Error(`${i}`, { cause: chain });
    let depth = 0;
    for (let at: unknown = round(chain); at instanceof Error; at = at.cause) depth++;
    expect(depth).toBe(10_000);
  });

  it('a subclass becomes its nearest built-in', () => {
    class Own extends RangeError {}
    const error = round(new Own('x')) as Error;
    expect(error).toBeInstanceOf(RangeError);
    expect(error.constructor).toBe(RangeError);
    expect(error.name).toBe('RangeError');
  });

  it('own fields that look like parts of the prototype do not touch it', () => {
    const error = new Error('x');
    Object.defineProperty(error, '__proto__', { value: { polluted: true }, enumerable: true });
    Object.assign(error, { constructor: 'text', toString: 'text' });
    const back = round(error) as Error & { polluted?: boolean };
    expect(back).toBeInstanceOf(Error);
    expect(back.polluted).toBeUndefined();
    expect(back.constructor).toBe('text');
  });
});

describe('the module', () => {
  function file(name: string, text: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-workload-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  }
  const run = (path: string, exportName = 'default') => runWorkload(path, 4, { env: scenario.env, exportName });

  it.each([
    ['is not there', () => '/no/such/module.mjs', { code: 'ERR_MODULE_NOT_FOUND' }],
    [
      'throws',
      () => file('a.mjs', "throw Object.assign(new RangeError('at load'), { n: 1 })"),
      { message: 'at load', n: 1 },
    ],
    ['has a syntax error', () => file('a.mjs', 'export default ('), { name: 'SyntaxError' }],
    ['throws no error', () => file('a.mjs', "throw 'text'"), 'text'],
  ])('%s: ERR_WORKLOAD_LOAD, with its error as cause', async (_, path, cause) => {
    const error = await rejection(run(path()));
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error.code).toBe('ERR_WORKLOAD_LOAD');
    if (typeof cause === 'string') expect(error.cause).toBe(cause);
    else expect(error.cause).toMatchObject(cause);
  });

  it('exports no such function: ERR_WORKLOAD_EXPORT', async () => {
    const path = file('a.mjs', 'export const notOne = 1;');
    for (const name of ['default', 'notOne', 'toString', '__proto__']) {
      const error = await rejection(run(path, name));
      expect(error).toBeInstanceOf(WorkloadError);
      expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXPORT', message: expect.stringContaining(`'${name}'`) });
    }
    const inherited = file('b.cjs', 'module.exports = () => 1;');
    for (const name of ['toString', 'bind']) {
      expect(await rejection(run(inherited, name))).toMatchObject({ code: 'ERR_WORKLOAD_EXPORT' });
    }
  });

  it('is CommonJS, in its several forms', async () => {
    expect(await run(file('a.cjs', 'module.exports = (n) => n + 1;'))).toBe(5);
    expect(await run(file('a.cjs', 'exports.twice = (n) => n * 2;'), 'twice')).toBe(8);
    const hidden = 'const all = { twice: (n) => n * 2 }; module.exports = { ...all };';
    expect(await run(file('a.cjs', hidden), 'twice')).toBe(8);
    const compiled = 'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = (n) => n - 1;';
    expect(await run(file('a.cjs', compiled))).toBe(3);
  });

  it('a data: URL, a file: URL as text, a path', async () => {
    const source = 'export default (n) => n * n';
    expect(await runWorkload(`data:text/javascript,${source}`, 4, { env: scenario.env })).toBe(16);
    const path = file('a.mjs', source);
    expect(await runWorkload(`file://${path}`, 5, { env: scenario.env })).toBe(25);
    expect(await run(path)).toBe(16);
  });
});
