// H2, H3: a shared helper is started once for all who want it, ends when nobody has wanted it for a while, and starts again.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type HelperDefinition, type HelperLease, helpers, type SharedHelper, sharedHelper } from '../dist/helper.js';
import type { ProcessGroup, StdioOption } from '../dist/index.js';
import { alivePids, define, readyLine } from './support/helpers.js';
import { isDead, waitUntil } from './support/oracle.js';
import type { Ready } from './support/ready.mjs';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { rejection } from './support/start-in.js';

const scenario = useScenario();

const definition = (more: object = {}, args?: readonly string[]) =>
  ({ ...define(scenario, args), ...more }) as HelperDefinition<StdioOption, Ready>;

/** One per test, closed after it. */
function start(more: object = {}, args?: readonly string[]): SharedHelper<Ready> {
  const made = sharedHelper(scenario.id, definition(more, args));
  scenario.defer(() => made.close());
  return made;
}

/** A program that notes each start in a file, and does as `then` says. */
function counted(then: string): { program: object; count: () => number } {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-helper-'));
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'starts');
  const program = { file: '/bin/sh', args: ['-c', `echo start >> "$0"; ${then}`, file] };
  const count = () => {
    try {
      return readFileSync(file, 'utf8').split('\n').length - 1;
    } catch {
      return 0;
    }
  };
  return { program, count };
}

describe('H2: concurrent first uses', () => {
  it(`H2: 100 at once make one spawn, ${scaled(50)} times`, async () => {
    for (let round = 0; round < scaled(50); round++) {
      const { program, count } = counted(`echo 'ready {}' >&3; exec sleep 60`);
      const one = sharedHelper(scenario.id, definition(program));
      const leases = await Promise.all(
        Array.from({ length: 100 }, () => sharedHelper(scenario.id, definition(program)).acquire()),
      );
      expect(new Set(leases.map(({ group }) => group.pid)).size).toBe(1);
      expect(count()).toBe(1);
      for (const lease of leases) lease.release();
      await one.close();
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('H2: control: without sharing there are as many as uses', async () => {
    const { program, count } = counted(`echo 'ready {}' >&3; exec sleep 60`);
    const many = Array.from({ length: 5 }, (_, i) => sharedHelper(`${scenario.id} ${i}`, definition(program)));
    await Promise.all(many.map((each) => each.acquire()));
    expect(count()).toBe(5);
    await Promise.all(many.map((each) => each.close()));
  });

  it.each([
    ['a program that is not there', () => ({ file: '/no/such/file', args: [] }), { code: 'ENOENT', stage: 'exec' }],
    ['options that spawn() refuses', () => ({ spawn: { cwd: '\0' } }), { code: 'ERR_INVALID_ARG_VALUE' }],
  ])('H2: %s: rejects all, with the error of spawn()', async (_, more, expected) => {
    const one = start({ ...more(), backoffMs: 0 });
    const errors = await Promise.all(Array.from({ length: 100 }, () => rejection(one.acquire())));
    expect(new Set(errors).size).toBe(1);
    expect(errors[0]).toMatchObject(expected);
    expect(await rejection(one.acquire()), 'not kept').not.toBe(errors[0]);
  });

  it('H2: a start that fails rejects all with one try, is not kept, and is tried again after the back-off', async () => {
    const backoffMs = 400;
    const { program, count } = counted('exit 3');
    const one = start({ ...program, backoffMs });
    const began: number[] = [];
    for (let turn = 1; turn <= 3; turn++) {
      const errors = await Promise.all(Array.from({ length: 100 }, () => rejection(one.acquire())));
      began.push(performance.now());
      expect(count()).toBe(turn);
      expect(errors[0]).toMatchObject({
        name: 'HelperError',
        code: 'ERR_HELPER_START',
        key: scenario.id,
        exit: { code: 3 },
      });
    }
    // At least half of the delay: the other half is random.
    const [first = 0, second = 0, third = 0] = began;
    expect(second - first).toBeGreaterThanOrEqual(backoffMs / 2 - 2);
    expect(third - second).toBeGreaterThanOrEqual(backoffMs - 2);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('H2: maxBackoffMs bounds the back-off', async () => {
    const { program, count } = counted('exit 3');
    const one = start({ ...program, backoffMs: 60_000, maxBackoffMs: 50 });
    await rejection(one.acquire());
    const began = performance.now();
    await rejection(one.acquire());
    expect(count()).toBe(2);
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('H2: not ready in time: rejects all, and what was started goes', async () => {
    const one = start({ startMs: 200, ready: () => new Promise(() => {}) }, ['grandchild-ignores-term']);
    const errors = await Promise.all([1, 2, 3].map(() => rejection(one.acquire())));
    expect(errors[0]).toMatchObject({ code: 'ERR_HELPER_START', message: expect.stringContaining('within 200 ms') });
    expect(new Set(errors).size).toBe(1);
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('H2: ready() rejects with what is no text: as any other error, and the next use starts afresh', async () => {
    const odd = Object.create(null);
    let fail = true;
    const one = start({
      backoffMs: 1,
      ready: (group: ProcessGroup) => (fail ? Promise.reject(odd) : readyLine(group)),
    });
    expect(await rejection(one.acquire())).toMatchObject({ code: 'ERR_HELPER_START', cause: odd });
    fail = false;
    expect((await one.acquire()).group.pid).toBeGreaterThan(0);
    await one.close();
    expect(scenario.alive()).toEqual([]);
  });

  it('H2: ready() throws: its error is the cause, and what was started goes', async () => {
    const cause = new Error('no port');
    const ready = () => {
      throw cause;
    };
    const error = await rejection(start({ ready }).acquire());
    expect(error).toMatchObject({ code: 'ERR_HELPER_START', cause });
    await waitUntil(() => scenario.alive().length === 0);
  });
});

describe('H3: the end of the last use', () => {
  it('H3: with the last release its time runs; then it is gone, and the next use starts it again', async () => {
    const idleMs = 300;
    const one = start({ idleMs });
    const leases = await Promise.all([1, 2, 3].map(() => one.acquire()));
    const pid = leases[0]?.group.pid ?? 0;
    for (const lease of leases.slice(1)) lease.release();
    expect(helpers()).toMatchObject([{ state: 'busy', pid }]);
    let released = 0;
    {
      using last = leases[0] as HelperLease<unknown>;
      expect(last.signal.aborted).toBe(false);
      released = performance.now();
    }
    expect(helpers()).toMatchObject([{ state: 'idle', pid }]);
    await waitUntil(() => isDead(pid));
    expect(performance.now() - released).toBeGreaterThanOrEqual(idleMs - 2);
    await waitUntil(() => helpers().length === 0);
    expect(scenario.alive()).toEqual([]);

    const again = await one.acquire();
    expect(again.group.pid).not.toBe(pid);
    expect(again.value).toMatchObject({ pid: again.group.pid });
    expect(alivePids(scenario)).toEqual([again.group.pid]);
  });

  it('H3: a use within the idle time keeps it; a second release of the same lease counts for nothing', async () => {
    const one = start({ idleMs: 60_000 });
    const first = await one.acquire();
    first.release();
    const second = await one.acquire();
    first.release();
    first[Symbol.dispose]();
    expect(second.group).toBe(first.group);
    expect(helpers()).toMatchObject([{ state: 'busy' }]);
  });

  it('H3: use after use leaves no listener on its streams, also on those that were destroyed', async () => {
    const one = start({ idleMs: 60_000 });
    const { group, release } = await one.acquire();
    release();
    const line = group.stdio[3] as Readable;
    expect(line.destroyed).toBe(true);
    for (let turn = 0; turn < 20; turn++) await one.use(() => {});
    expect(line.listenerCount('connect')).toBe(0);
  });

  it('H3: idleMs 0: gone with the last release; a use meanwhile waits for its end and starts another', async () => {
    const one = start({ idleMs: 0 }, ['ignore-term']);
    const pids: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const ending = await one.use(async ({ pid }, signal) => {
        expect(alivePids(scenario), 'the one before is gone').toEqual([pid]);
        pids.push(pid);
        return signal;
      });
      await waitUntil(() => ending.aborted);
    }
    expect(new Set(pids).size).toBe(3);
  });

  it('H3: idleMs Infinity: it stays', async () => {
    const one = start({ idleMs: Number.POSITIVE_INFINITY });
    const pid = await one.use(({ pid }) => pid);
    await new Promise((resolve) => setImmediate(resolve));
    expect(helpers()).toMatchObject([{ state: 'idle', pid }]);
    expect(isDead(pid)).toBe(false);
  });

  it('an abort takes one wait back, and no other', async () => {
    let goOn: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const ready = (group: ProcessGroup) => gate.then(() => readyLine(group));
    const one = start({ ready });
    const controller = new AbortController();
    const [mine, theirs] = [one.acquire({ signal: controller.signal }), one.acquire()];
    controller.abort('enough');
    expect(await rejection(mine)).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' });
    goOn();
    expect((await theirs).value).toMatchObject({ verb: 'sleep' });
    expect(await rejection(one.acquire({ signal: controller.signal }))).toMatchObject({ code: 'ABORT_ERR' });
    expect(helpers()).toMatchObject([{ users: [expect.any(String)] }]);
  });

  it('all who waited have left: it becomes idle', async () => {
    const one = start({ idleMs: 60_000 });
    const controller = new AbortController();
    const waiting = one.acquire({ signal: controller.signal });
    controller.abort();
    await rejection(waiting);
    await waitUntil(() => helpers()[0]?.state === 'idle');
    expect((await one.acquire()).group.pid).toBe(alivePids(scenario)[0]);
  });
});

it('output that nobody listens to does not hold the helper up', async () => {
  const script = `echo ready; i=0; while [ $i -lt 3000 ]; do echo "$0$0$0$0 $i"; i=$((i+1)); done; echo done >&3; exec sleep 60`;
  const one = sharedHelper(scenario.id, {
    file: '/bin/sh',
    args: ['-c', script, 'x'.repeat(16)],
    spawn: { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
  });
  scenario.defer(() => one.close());
  const { group } = await one.acquire();
  // More than a pipe holds has been written.
  await new Promise((resolve) => (group.stdio[3] as NodeJS.ReadableStream).once('data', resolve));
});
