// H5: one key, one definition; a helper that crashes, is closed, or ends with its owner tells all who use it or wait for it.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type HelperDefinition, HelperError, helpers, sharedHelper } from '../dist/helper.js';
import { ProcessScope } from '../dist/scope.js';
import { alivePids, define, readyLine } from './support/helpers.js';
import { waitUntil } from './support/oracle.js';
import { footprint, useScenario } from './support/scenario.js';
import { rejection } from './support/start-in.js';

const scenario = useScenario();
const never = () => new Promise<never>(() => {});

function start(more: object = {}, args?: readonly string[]) {
  const made = sharedHelper(scenario.id, { ...define(scenario, args), ...more });
  scenario.defer(() => made.close());
  return made;
}

describe('H5: options under one key', () => {
  it('H5: the same contents are the same helper, whatever objects they are in', () => {
    const owner = new ProcessScope();
    const cwd = new URL('file:///tmp');
    const one = start({ owner, idleMs: 30_000, spawn: { env: { A: 'a' }, cwd } });
    const again = { owner, startMs: 10_000, spawn: { cwd: new URL(cwd), env: { A: 'a' } } };
    expect(start(again)).toBe(one);
  });

  const others: [string, () => object][] = [
    ['file', () => ({ file: '/bin/true' })],
    ['args', () => ({ args: ['-r', '3', 'ignore-term'] })],
    ['spawn', () => ({ spawn: { env: { A: 'b' } } })],
    ['spawn', () => ({ spawn: { cwd: new URL('file:///usr') } })],
    ['ready', () => ({ ready: async () => null })],
    ['ready', () => ({ ready: undefined })],
    ['idleMs', () => ({ idleMs: 1 })],
    ['startMs', () => ({ startMs: 1 })],
    ['backoffMs', () => ({ backoffMs: 1 })],
    ['maxBackoffMs', () => ({ maxBackoffMs: 1 })],
    ['owner', () => ({ owner: new ProcessScope() })],
  ];
  it.each(others)('H5: another %s: a typed error that tells where the first one is defined', (name, more) => {
    const base = name === 'spawn' ? { spawn: { env: { A: 'a' }, cwd: new URL('file:///tmp') } } : {};
    start(base);
    const define = () => start({ ...base, ...more() });
    expect(define).toThrow(HelperError);
    expect(define).toThrow(expect.objectContaining({ code: 'ERR_HELPER_CONFLICT', key: scenario.id }));
    expect(define).toThrow(new RegExp(`another '${name}'[^]*shared-helper-conflict.test.ts`));
  });

  it('H5: close() frees the key', async () => {
    const one = start();
    await one.close();
    const other = start({ idleMs: 1 });
    expect(other).not.toBe(one);
    await one.close();
    expect(start({ idleMs: 1 }), 'of whoever has it now').toBe(other);
  });
});

describe('H5: a crash', () => {
  it('H5: who uses it is told, and the next use starts afresh', async () => {
    const one = start({ backoffMs: 20 });
    const lease = await one.acquire();
    const pending = [
      one.use(never),
      one.use((_, signal) => new Promise((_, no) => signal.addEventListener('abort', no))),
    ];
    await waitUntil(() => helpers()[0]?.users.length === 3);
    process.kill(lease.group.pid, 'SIGKILL');
    const died = { name: 'HelperError', code: 'ERR_HELPER_DIED', exit: { code: null, signal: 'SIGKILL' } };
    const errors = await Promise.all(pending.map((each) => rejection(each)));
    expect(errors[0]).toMatchObject(died);
    expect(lease.signal.reason).toBe(errors[0]);
    lease.release();
    const next = await one.acquire();
    expect(next.group.pid).not.toBe(lease.group.pid);
    expect(next.signal.aborted).toBe(false);
    expect(alivePids(scenario)).toEqual([next.group.pid]);
  });

  it('H5: what the crashed helper had started goes before the next one comes', async () => {
    const one = start({ backoffMs: 0 }, ['grandchild-ignores-term']);
    const lease = await one.acquire();
    const before = lease.value.members;
    process.kill(lease.group.pid, 'SIGKILL');
    await waitUntil(() => lease.signal.aborted);
    const next = await one.acquire();
    expect(alivePids(scenario).sort()).toEqual([next.group.pid, ...next.value.members].sort());
    expect(alivePids(scenario)).not.toContain(before[0]);
  });

  it('H5: before it is ready: all who wait are told how it ended', async () => {
    const ready = async (group: Parameters<typeof readyLine>[0]) => {
      await readyLine(group);
      process.kill(group.pid, 'SIGKILL');
      await never();
    };
    const one = start({ ready });
    const errors = await Promise.all([1, 2, 3].map(() => rejection(one.acquire())));
    expect(errors[0]).toMatchObject({ code: 'ERR_HELPER_START', exit: { signal: 'SIGKILL' } });
    expect(new Set(errors).size).toBe(1);
  });

  const crash = async (one: ReturnType<typeof start>) => {
    const lease = await one.acquire();
    const began = performance.now();
    process.kill(lease.group.pid, 'SIGKILL');
    await waitUntil(() => lease.signal.aborted);
    await one.acquire();
    return performance.now() - began;
  };

  it('H5: crash after crash meets the back-off', async () => {
    const one = start({ backoffMs: 300, maxBackoffMs: 600_000 });
    // At least half of each delay: the other half is random.
    expect(await crash(one)).toBeGreaterThanOrEqual(148);
    expect(await crash(one)).toBeGreaterThanOrEqual(298);
    expect(await crash(one)).toBeGreaterThanOrEqual(598);
  });

  it('H5: a crash after a healthy life costs no delay', async () => {
    const one = start({ backoffMs: 2_000, maxBackoffMs: 2_000 });
    expect(await crash(one), 'control').toBeGreaterThanOrEqual(998);
    await waitUntil(() => (helpers()[0]?.ageMs ?? 0) > 2_020);
    expect(await crash(one)).toBeLessThan(998);
  });
});

describe('close', () => {
  const closed = { name: 'HelperError', code: 'ERR_HELPER_CLOSED' };

  it('H4: who uses it and who waits is told; it is gone when close() resolves', async () => {
    const one = start({}, ['ignore-term']);
    const lease = await one.acquire();
    const use = rejection(one.use(never));
    await waitUntil(() => helpers()[0]?.users.length === 2);
    await one.close();
    expect(scenario.alive()).toEqual([]);
    expect(helpers()).toEqual([]);
    expect(await use).toMatchObject(closed);
    expect(lease.signal.reason).toMatchObject(closed);
    expect(await rejection(one.acquire())).toMatchObject(closed);
  });

  it.each([
    ['at once', async () => {}],
    ['while it is spawned', async () => new Promise((resolve) => setImmediate(resolve))],
    ['when it runs', async () => waitUntil(() => alivePids(scenario).length > 0)],
  ])('close() while it starts, %s: nothing is left', async (_, moment) => {
    const one = start({ ready: never });
    const waiting = rejection(one.acquire());
    await moment();
    await one.close();
    expect(await waiting).toMatchObject(closed);
    expect(scenario.alive()).toEqual([]);
  });

  it('close() during the back-off does not wait for it', async () => {
    const one = start({ file: '/no/such/file', backoffMs: 600_000, maxBackoffMs: 600_000 });
    await rejection(one.acquire());
    const waiting = rejection(one.acquire());
    await waitUntil(() => helpers()[0]?.state === 'starting');
    await one.close();
    expect(await waiting).toMatchObject(closed);
  });

  it('H4: it ends with the scope that owns it', async () => {
    const owner = new ProcessScope();
    const one = start({ owner });
    const { group, signal } = await one.acquire();
    const ending = owner.end();
    expect(signal.reason).toMatchObject(closed);
    expect(await ending).toMatchObject({ empty: true, groups: [{ pid: group.pid }] });
    expect(scenario.alive()).toEqual([]);
    expect(await rejection(one.acquire())).toMatchObject(closed);
    expect(() => start({ owner })).toThrow(expect.objectContaining({ code: 'ERR_SCOPE_ENDED' }));
    expect(start({ owner: new ProcessScope() }), 'the key is free').not.toBe(one);
  });

  it('nothing stays on the owner of a helper that was closed', async () => {
    const owner = new ProcessScope();
    const one = start({ owner });
    await one.use(() => {});
    expect(getEventListeners(owner.signal, 'abort')).toHaveLength(1);
    await one.close();
    expect(getEventListeners(owner.signal, 'abort')).toEqual([]);
    expect(await owner.end()).toMatchObject({ groups: [] });
  });
});

describe('bad input', () => {
  const bad: [string, object | null | string, string][] = [
    ['no definition', null, 'ERR_INVALID_ARG_TYPE'],
    ['a string', 'x', 'ERR_INVALID_ARG_TYPE'],
    ['no file', {}, 'ERR_INVALID_ARG_TYPE'],
    ['an empty file', { file: '' }, 'ERR_INVALID_ARG_VALUE'],
    ['args: a string', { file: 'x', args: 'y' }, 'ERR_INVALID_ARG_TYPE'],
    ['args: a number', { file: 'x', args: [1] }, 'ERR_INVALID_ARG_TYPE'],
    ['ready: a string', { file: 'x', ready: 'y' }, 'ERR_INVALID_ARG_TYPE'],
    ['idleMs: negative', { file: 'x', idleMs: -1 }, 'ERR_OUT_OF_RANGE'],
    ['startMs: a string', { file: 'x', startMs: '1' }, 'ERR_INVALID_ARG_TYPE'],
    ['backoffMs: NaN', { file: 'x', backoffMs: Number.NaN }, 'ERR_OUT_OF_RANGE'],
    ['owner: no scope', { file: 'x', owner: {} }, 'ERR_INVALID_ARG_TYPE'],
    ['spawn: a string', { file: 'x', spawn: 'y' }, 'ERR_INVALID_ARG_TYPE'],
    ['spawn.signal', { file: 'x', spawn: { signal: new AbortController().signal } }, 'ERR_INVALID_ARG_VALUE'],
    ['spawn.lifetime', { file: 'x', spawn: { lifetime: 'releasable' } }, 'ERR_INVALID_ARG_VALUE'],
  ];
  it.each(bad)('%s', (_, definition, code) => {
    const before = footprint();
    const refused = expect.objectContaining({ name: 'ProcessGroupError', code });
    expect(() => sharedHelper(scenario.id, definition as HelperDefinition)).toThrow(refused);
    expect(() => sharedHelper(1 as never, definition as HelperDefinition)).toThrow();
    expect(helpers()).toEqual([]);
    expect(footprint()).toEqual(before);
    // The key was not taken.
    expect(start()).toBeDefined();
  });

  it('keys and arguments of uses', async () => {
    const type = { code: 'ERR_INVALID_ARG_TYPE' };
    expect(() => sharedHelper('', { file: 'x' })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
    expect(() => sharedHelper(1 as never, { file: 'x' })).toThrow(expect.objectContaining(type));
    const one = start();
    expect(await rejection(one.acquire(null as never))).toMatchObject(type);
    expect(await rejection(one.acquire({ signal: {} as never }))).toMatchObject(type);
    expect(await rejection(one.use('work' as never))).toMatchObject(type);
    expect(helpers()).toEqual([]);
  });

  it('work that throws, at once or later: its error, and the lease is released', async () => {
    const one = start();
    const error = new Error('on purpose');
    const throwing = () => {
      throw error;
    };
    expect(await rejection(one.use(throwing))).toBe(error);
    expect(await rejection(one.use(async () => throwing()))).toBe(error);
    expect(helpers()).toMatchObject([{ state: 'idle', users: [] }]);
  });
});
