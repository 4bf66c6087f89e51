// What goes into a workload and what comes out: whole, of any size, in neither argv nor environ.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { WorkloadError } from '../dist/workload.js';
import { isDead } from './support/oracle.js';
import { runNodeJson } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { rejection, work, workloads } from './support/workloads.js';

const scenario = useScenario();
const MIB = 2 ** 20;
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('T2 a payload arrives intact', () => {
  it.each([0, 1, 16 * MIB, 64 * MIB])('T2: %i bytes go there and come back', async (size) => {
    const payload = randomBytes(size);
    const back = await work(scenario, 'default', payload);
    expect(Buffer.isBuffer(back)).toBe(true);
    expect([back.length, sum(back)]).toEqual([size, sum(payload)]);
    expect(scenario.alive()).toEqual([]);
  });

  it('T2: it is in neither argv nor environ, while the workload runs and as the workload sees it', async () => {
    const secret = randomBytes(12).toString('hex');
    const controller = new AbortController();
    const run = work(scenario, 'hold', secret, { signal: controller.signal });
    for await (const { pid, payload } of run.progress) {
      expect(payload).toBe(secret.length);
      for (const file of ['cmdline', 'environ'])
        expect(readFileSync(`/proc/${pid}/${file}`, 'latin1')).not.toContain(secret);
      controller.abort();
      break;
    }
    expect(await rejection(run)).toMatchObject({ code: 'ABORT_ERR' });
    const { cmdline, environ } = await work(scenario, 'self', secret);
    expect(cmdline + environ).not.toContain(secret);
    const control = await work(scenario, 'self', null, { env: { ...scenario.env, SECRET: secret } });
    expect(control.environ, 'control: the oracle does find what is in the environment').toContain(secret);
  });

  it('T2: what structured clone knows', async () => {
    const shared = { a: 1 };
    const payload = {
      undefined,
      null: null,
      big: 2n ** 70n,
      zero: -0,
      nan: Number.NaN,
      date: new Date(1e12),
      pattern: /x+/giu,
      map: new Map<unknown, unknown>([[{ key: 1 }, new Set([1, 'two'])]]),
      typed: [new Float64Array([1.5, 2.5]), new Uint16Array([1, 65_535]), new BigInt64Array([-1n])],
      buffer: new Uint8Array([1, 2, 3]).buffer,
      text: 'ünïcödé \u{1f600} \ud800',
      sparse: [1, undefined, 3],
      nested: new RangeError('inside'),
      twice: [shared, shared],
    };
    const back = await work(scenario, 'default', payload);
    expect(back).toEqual(payload);
    expect(back.twice[0]).toBe(back.twice[1]);
    expect(Object.is(back.zero, -0)).toBe(true);
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const round = await work(scenario, 'default', cycle);
    expect(round.self).toBe(round);
  });

  it('T2: undefined, null and no result at all', async () => {
    expect(await work(scenario, 'default', undefined)).toBeUndefined();
    expect(await work(scenario, 'default', null)).toBeNull();
    expect(await work(scenario, 'nothing', 1)).toBeUndefined();
  });

  it('T2: 20 runs at once, each its own process and value', async () => {
    const runs = Array.from({ length: 20 }, (_, i) =>
      work(scenario, 'default', { i, filler: Buffer.alloc(100_000, i) }, { startMs: allowance(30_000) }),
    );
    const values = await Promise.all(runs);
    expect(values.map(({ i, filler }) => [i, filler.length, filler[99_999]])).toEqual(
      runs.map((_, i) => [i, 100_000, i]),
    );
    const ends = await Promise.all(runs.map((run) => run.ended));
    expect(ends.every(({ exit, report }) => exit?.code === 0 && report?.empty)).toBe(true);
  });
});

describe('what cannot go through', () => {
  it.each<[string, unknown, string]>([
    ['a function', () => {}, 'payload'],
    ['a function deep inside', { jobs: [1, { done: () => {} }] }, 'payload.jobs.1.done'],
    ['a symbol', [Symbol('x')], 'payload.0'],
    ['a promise', { later: Promise.resolve() }, 'payload.later'],
    ['a WeakMap in a Map', { map: new Map([['k', new WeakMap()]]) }, 'payload.map.0.1'],
    ['a function in a Set', new Set([() => {}]), 'payload.0'],
    ['a proxy', { a: new Proxy({}, {}) }, 'payload.a'],
    ['a SharedArrayBuffer', { s: new SharedArrayBuffer(8) }, 'payload.s'],
    ['a MessagePort', { port: new MessageChannel().port1 }, 'payload.port'],
    ['a blob', { blob: new Blob(['x']) }, 'payload.blob'],
  ])('%s in the payload: ERR_WORKLOAD_UNCLONEABLE with the path, and nothing is started', async (_, payload, path) => {
    const run = work(scenario, 'default', payload);
    const error = await rejection(run);
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_UNCLONEABLE', path, exit: null });
    expect(error.message).toContain(`${path} cannot be cloned`);
    expect(await run.ended).toMatchObject({ exit: null, report: null });
  });

  it('a getter that throws, and a cycle around what cannot be cloned', async () => {
    const trap = Object.defineProperty({}, 'trap', {
      get: () => {
        throw new Error('sprung');
      },
      enumerable: true,
    });
    const odd = await rejection(work(scenario, 'default', { trap }));
    expect(odd).toMatchObject({ code: 'ERR_WORKLOAD_UNCLONEABLE', cause: { message: 'sprung' } });
    const cycle: Record<string, unknown> = { before: { up: null } };
    (cycle.before as { up: unknown }).up = cycle;
    cycle.fn = () => {};
    expect(await rejection(work(scenario, 'default', cycle))).toMatchObject({ path: 'payload.fn' });
  });

  it('a value of the workload: the same error, named by where it was', async () => {
    const result = work(scenario, 'uncloneableResult');
    const error = await rejection(result);
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_UNCLONEABLE', path: 'result.list.1.callback' });
    expect((await result.ended).exit).toMatchObject({ code: 0 });
    const progress = await rejection(work(scenario, 'uncloneableProgress'));
    expect(progress).toMatchObject({ code: 'ERR_WORKLOAD_UNCLONEABLE', path: 'progress.socket' });
    expect(progress).toBeInstanceOf(WorkloadError);
    expect(await work(scenario, 'caughtProgress')).toEqual({
      code: 'ERR_WORKLOAD_UNCLONEABLE',
      path: 'progress',
      name: 'WorkloadError',
    });
  });

  it('more than maxMessageBytes, in each direction', async () => {
    const options = { maxMessageBytes: 10_000 };
    const there = work(scenario, 'default', Buffer.alloc(10_000), options);
    expect(await rejection(there)).toMatchObject({ code: 'ERR_WORKLOAD_TOO_LARGE', exit: null });
    expect((await there.ended).exit).toBeNull();
    const back = await rejection(work(scenario, 'bytes', 10_000, options));
    expect(back).toBeInstanceOf(WorkloadError);
    expect(back).toMatchObject({ code: 'ERR_WORKLOAD_TOO_LARGE' });
    const told = await rejection(work(scenario, 'pour', { times: 1, size: 10_000 }, options));
    expect(told).toMatchObject({ code: 'ERR_WORKLOAD_TOO_LARGE' });
    const thrown = await rejection(work(scenario, 'throws', 'huge', { maxMessageBytes: MIB }));
    expect(thrown).toBeInstanceOf(WorkloadError);
    expect(thrown).toMatchObject({
      code: 'ERR_WORKLOAD_TOO_LARGE',
      message: expect.stringContaining('Error: big xxx'),
    });
    expect((await work(scenario, 'bytes', 9_000, options)).length, 'control').toBe(9_000);
  });
});

describe('progress', () => {
  it('comes in order, then the value', async () => {
    const run = work(scenario, 'count', 500);
    const seen: number[] = [];
    for await (const value of run.progress) seen.push(value);
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i));
    expect(await run).toBe('counted');
  });

  it('that nobody reads is dropped, and holds nobody up', async () => {
    expect(await work(scenario, 'pour', { times: 200, size: 100_000 })).toBeUndefined();
  });

  it('a reader that leaves the loop holds nobody up', async () => {
    const run = work(scenario, 'pour', { times: 200, size: 100_000 });
    for await (const { i } of run.progress) if (i === 3) break;
    expect(await run).toBeUndefined();
  });

  it('ends with the error of the run, which is not unhandled meanwhile', async () => {
    const run = work(scenario, 'throws', 'fields');
    const seen: unknown[] = [];
    const reading = async () => {
      for await (const value of run.progress) seen.push(value);
    };
    expect(await rejection(reading())).toMatchObject({ name: 'Refused', status: 403 });
    expect(seen).toEqual([]);
    expect(await rejection(run)).toMatchObject({ name: 'Refused' });
  });

  it('a slow reader holds the workload up: neither side fills its memory', async () => {
    const { seen, ahead, grown } = await runNodeJson<{ seen: number; ahead: number; grown: number }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const run = runWorkload(${JSON.stringify(workloads.href)}, { times: 400, size: ${MIB} }, { exportName: 'pour' });
          const reader = run.progress[Symbol.asyncIterator]();
          const { value } = await reader.next();
          const [child] = oracle.childrenOf(oracle.childrenOf()[0]);
          // Nobody reads: the workload stands still once what is under way has filled.
          const io = () => /^wchar: (\\d+)/m.exec(nodeFs.readFileSync('/proc/' + child + '/io', 'latin1'))[1];
          const before = process.memoryUsage();
          let last = -1;
          let still = 0;
          await oracle.waitUntil(() => { const now = io(); still = now === last ? still + 1 : 0; last = now; return still > 40; });
          const ahead = Number(last) / ${MIB};
          const grown = (process.memoryUsage().arrayBuffers - before.arrayBuffers) / ${MIB};
          let seen = 1;
          for await (const { filler } of { [Symbol.asyncIterator]: () => reader }) seen += filler.length === ${MIB} ? 1 : 0;
          await run;
          console.log(JSON.stringify({ seen, ahead, grown }));`,
      },
      { env: scenario.env },
    );
    expect(seen).toBe(400);
    expect(ahead, 'MiB that it has written').toBeLessThan(100);
    expect(grown, 'MiB that we hold').toBeLessThan(100);
  });

  it('a reader that stands still holds up the run, but not the news of how its process ended', async () => {
    const run = work(scenario, 'pours100ThenExits', 3);
    const reader = run.progress[Symbol.asyncIterator]();
    const seen = [(await reader.next()).value];
    expect((await run.ended).exit).toMatchObject({ code: 3 });
    const error = await rejection(
      (async () => {
        for await (const value of { [Symbol.asyncIterator]: () => reader }) seen.push(value);
      })(),
    );
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: 3 } });
    expect(await rejection(run)).toBe(error);
  });

  it('two readers share it; one that comes late gets the end alone', async () => {
    const run = work(scenario, 'count', 50);
    const seen: number[] = [];
    const read = async () => {
      for await (const value of run.progress) seen.push(value);
    };
    await read();
    expect(seen.length).toBe(50);
    await read();
    expect(seen.length).toBe(50);
    const failed = work(scenario, 'exits', 3);
    await rejection(failed);
    const late = failed.progress[Symbol.asyncIterator]();
    expect(await rejection(late.next())).toMatchObject({ code: 'ERR_WORKLOAD_EXITED' });
    expect(await late.next()).toEqual({ done: true, value: undefined });
  });
});

it('a run settles when nothing of its process is left, or as soon as its value is here', async () => {
  const gone = await work(scenario, 'self');
  expect(isDead(gone.pid)).toBe(true);
  const run = work(scenario, 'slowExit', 300, { settle: 'value' });
  let ended = false;
  void run.ended.then(() => {
    ended = true;
  });
  expect([await run, ended]).toEqual(['value', false]);
  expect(scenario.alive().length).toBeGreaterThan(0);
  expect((await run.ended).exit).toMatchObject({ code: 7 });
  expect(scenario.alive()).toEqual([]);
});
