// A command runs under a lease and not longer: the answer that it is lost, misses, and silence each end its whole tree.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { httpLost, type LeaseOptions, type Outcome, supervise } from '../dist/supervise.js';
import { beatTo } from './support/beat.mjs';
import { type Answer, leaseServer } from './support/lease-server.js';
import { alive, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { startPlain } from './support/plain.js';
import { readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { stepSignals } from './support/trees.js';

const scenario = useScenario();

const GRACE = 300;
const LEASE = allowance(900);
const BLOCK = allowance(3_000);
/** What a busy machine may add to a bound. With it a bound stays below BLOCK. */
const BUSY = allowance(1_000);
const teardown = [{ signal: 'SIGTERM', graceMs: GRACE }] as const;

/**
 * A supervisor in a Node of its own. Its event loop is blocked for BLOCK ms in a microtask after a beat was judged: one that
 * was answered with 409 (lost), or with 201 (good).
 */
async function blockedSupervisor(url: string, leaseMs: number) {
  const child = startNode(
    {
      source: `
        const { supervise, httpLost } = await import(paths.dist + 'supervise.js');
        const { beatTo } = await import(paths.root + 'test/support/beat.mjs');
        // The first request is the slowest by far, and the lease does not wait for it.
        await beatTo(${JSON.stringify(url)})(null, AbortSignal.timeout(60_000));
        const say = (text) => nodeFs.writeSync(1, text + ' ' + Date.now() + '\\n');
        const block = () => { const end = performance.now() + ${BLOCK}; while (performance.now() < end); say('free'); };
        const task = supervise(member, ['grandchild-ignores-term'], {
          teardown: ${JSON.stringify(teardown)},
          ready: { line: /^ready / },
          onLine: (line) => console.log(line),
          lease: {
            leaseMs: ${leaseMs}, intervalMs: 100, timeoutMs: ${allowance(2_000)}, beat: beatTo(${JSON.stringify(url)}),
            lost: (answer) => {
              if (answer.status !== 200) { say('blocked'); queueMicrotask(block); }
              return httpLost(answer);
            },
          },
        });
        const outcomes = await Promise.all([task.outcome, task.outcome.then(() => task.stop()), task.outcome]);
        console.log('outcome ' + JSON.stringify({ different: new Set(outcomes).size, ...outcomes[0] }));`,
    },
    { env: scenario.env },
  );
  const closed = once(child, 'close');
  const errors: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text) => errors.push(text));
  const times: Record<string, number> = {};
  let outcome: (Outcome & { different: number }) | undefined;
  await readReady(child.stdout as Readable);
  createInterface({ input: child.stdout as Readable }).on('line', (line) => {
    const [word = '', rest = ''] = line.split(/ (.*)/s);
    if (word === 'outcome') outcome = JSON.parse(rest);
    else times[word] = Number(rest);
  });
  /** Those below the supervisor's mark: its guardian, the task and what that started. */
  const below = () => alive(`${scenario.id}.`);
  expect(below().length).toBeGreaterThanOrEqual(3);
  const emptied = async () => {
    await waitUntil(() => times.blocked, { what: 'the block' });
    await waitUntil(() => below().length === 0, { what: 'an empty tree' });
    return { ms: Date.now() - (times.blocked ?? 0), free: times.free };
  };
  const ended = async () => {
    await closed;
    expect(errors).toEqual([]);
    return outcome;
  };
  return { below, emptied, times, outcome: ended };
}

describe('H7: the loss of a lease empties the tree, whatever JavaScript does', () => {
  it('H7: 409 is read, then the event loop is blocked for 3 s', async () => {
    const server = await leaseServer(scenario);
    const supervisor = await blockedSupervisor(server.url, 60_000);
    server.answer = 409;
    const { ms, free } = await supervisor.emptied();
    expect(free, 'the loop is still blocked').toBeUndefined();
    expect(ms).toBeGreaterThanOrEqual(GRACE - 50);
    expect(ms).toBeLessThan(GRACE + 250 + BUSY);
    const outcome = await supervisor.outcome();
    expect(outcome).toMatchObject({ different: 1, kind: 'lease-lost', reason: 'refused', runs: 1 });
    expect(outcome?.report).toMatchObject({ empty: true, cause: 'lease', covers: 'tree', survivors: [] });
    expect(outcome?.report?.durationMs).toBeLessThan(GRACE + 250 + BUSY);
  });

  it('H7: the event loop is blocked for 3 s, and leaseMs passes meanwhile', async () => {
    const server = await leaseServer(scenario);
    const supervisor = await blockedSupervisor(server.url, LEASE);
    server.answer = 201;
    const { ms, free } = await supervisor.emptied();
    expect(free, 'the loop is still blocked').toBeUndefined();
    expect(ms).toBeLessThan(LEASE + GRACE + 250 + BUSY);
    const outcome = await supervisor.outcome();
    expect(outcome).toMatchObject({ different: 1, kind: 'lease-lost', reason: 'expired', runs: 1 });
    expect(outcome?.report).toMatchObject({ empty: true, cause: 'lease', covers: 'tree', survivors: [] });
  });

  it('H7: control: without leaseMs the tree lives on while the event loop is blocked', async () => {
    const server = await leaseServer(scenario);
    const supervisor = await blockedSupervisor(server.url, Number.POSITIVE_INFINITY);
    server.answer = 201;
    await waitUntil(() => supervisor.times.blocked);
    server.answer = 409;
    await waitUntil(() => supervisor.times.free || supervisor.below().length < 3, { what: 'the end of the block' });
    expect(supervisor.times.free, 'nobody has ended before').toBeDefined();
    expect(await supervisor.outcome()).toMatchObject({ kind: 'lease-lost', reason: 'refused' });
  });

  it('H7: control: child_process ends one pid', async () => {
    const { child, ready, exited } = await startPlain(scenario, ['grandchild-ignores-term']);
    const server = await leaseServer(scenario);
    server.answer = 409;
    if (httpLost(await beatTo(server.url)(null, AbortSignal.timeout(5_000)))) child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
  });
});

describe('H7: answers', () => {
  /** Beats that follow each other fast, under a lease that does not run out by itself. */
  async function run(next: readonly Answer[], lease: Partial<LeaseOptions> = {}) {
    const server = await leaseServer(scenario);
    server.next = [...next];
    const task = supervise(member, ['sleep'], {
      env: scenario.env,
      teardown,
      lease: { beat: beatTo(server.url), leaseMs: 60_000, intervalMs: 20, timeoutMs: 10_000, ...lease },
    });
    const outcome = await task.outcome;
    expect(scenario.alive()).toEqual([]);
    expect(outcome.report?.cause ?? 'lease').toBe('lease');
    return { outcome, requests: server.requests };
  }

  it.each([404, 409, 410])('H7: %i: lease-lost, after the beats that were good', async (status) => {
    const { outcome, requests } = await run([200, 204, 200, status]);
    expect(outcome).toMatchObject({ kind: 'lease-lost', reason: 'refused', error: { code: 'ERR_BEAT_FAILED' } });
    expect(requests).toBe(4);
    expect(stepSignals(outcome.report ?? { steps: [] })).toEqual(['SIGTERM']);
  });

  it('H7: 500s are forgiven as configured, then heartbeat-failed', async () => {
    const { outcome, requests } = await run([200, 500, 500, 200, 503, 500, 200, 500, 500, 500], { forgivenMisses: 2 });
    expect(requests).toBe(10);
    expect(outcome).toMatchObject({ kind: 'heartbeat-failed', reason: 'missed' });
    expect(outcome.error).toEqual(expect.objectContaining({ message: expect.stringContaining('500') }));
  });

  it('H7: no miss is forgiven where none is to be, and a loss between misses is a loss', async () => {
    expect((await run([200, 500], { forgivenMisses: 0 })).outcome).toMatchObject({ kind: 'heartbeat-failed' });
    expect((await run([500, 410], { forgivenMisses: 1 })).outcome).toMatchObject({ kind: 'lease-lost' });
  });

  it('H7: a request that times out is a miss, and its signal aborts', async () => {
    const { outcome, requests } = await run([200, 'never', 200, 'never', 'never'], { timeoutMs: 400 });
    expect(requests).toBe(5);
    expect(outcome).toMatchObject({ kind: 'heartbeat-failed', error: { code: 'ERR_BEAT_TIMEOUT' } });
  });

  it('H7: a beat that never settles, and heeds no signal, is a miss', async () => {
    const signals: AbortSignal[] = [];
    const beat = (_: unknown, signal: AbortSignal) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const { outcome } = await run([], { beat, timeoutMs: 30, forgivenMisses: 2 });
    expect(outcome).toMatchObject({ kind: 'heartbeat-failed', error: { code: 'ERR_BEAT_TIMEOUT' } });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });

  it('H7: a loss that is answered after the patience was over still counts', async () => {
    let answer = (_: unknown): void => {};
    const beat = ({ misses }: { misses: number }) => {
      if (misses === 0) return new Promise((resolve) => (answer = resolve));
      answer({ status: 409 });
      return new Promise(() => {});
    };
    const { outcome } = await run([], { beat, timeoutMs: 30, forgivenMisses: 1_000 });
    expect(outcome).toMatchObject({ kind: 'lease-lost', reason: 'refused' });
  });

  it('H7: what a beat may fulfil and reject with', async () => {
    const once = (act: () => unknown, lease: Partial<LeaseOptions> = {}) =>
      run([], { beat: act, forgivenMisses: 0, ...lease }).then(({ outcome: { kind, error } }) => [
        kind,
        error?.message,
      ]);
    const failing = (error: unknown) => () => Promise.reject(error);
    expect(await once(() => false)).toEqual(['heartbeat-failed', expect.stringContaining('false')]);
    expect(await once(() => ({ ok: false }))).toEqual(['heartbeat-failed', expect.anything()]);
    const unprintable = { ok: false, status: Object.create(null) };
    expect(await once(() => unprintable)).toEqual(['heartbeat-failed', expect.stringContaining('primitive')]);
    const unreadable = (status: number, thrown: unknown) => () => ({
      status,
      get ok() {
        throw thrown;
      },
    });
    expect(await once(unreadable(200, new Error('no ok')))).toEqual(['heartbeat-failed', 'no ok']);
    expect(await once(unreadable(200, undefined))).toEqual(['heartbeat-failed', expect.stringContaining('thrown')]);
    expect(await once(unreadable(409, new Error('no ok')))).toEqual(['lease-lost', 'no ok']);
    expect(await once(failing(undefined))).toEqual(['heartbeat-failed', expect.anything()]);
    expect(await once(failing(null))).toEqual(['heartbeat-failed', expect.anything()]);
    expect(await once(failing('text'))).toEqual(['heartbeat-failed', "'text'"]);
    const thrower = () => {
      throw new TypeError('at once');
    };
    expect(await once(thrower)).toEqual(['heartbeat-failed', 'at once']);
    expect(await once(() => 0, { lost: thrower })).toEqual(['heartbeat-failed', 'at once']);
    expect(await once(() => 0, { lost: (rows) => rows === 0 })).toEqual(['lease-lost', undefined]);
    const conflict = Object.assign(new Error('conflict'), { response: { status: 409 } });
    expect(await once(failing(conflict))).toEqual(['lease-lost', 'conflict']);
  });
});

it('H7: an answer that comes in time, but is read late since the event loop was blocked, is no miss', async () => {
  const server = await leaseServer(scenario);
  server.next = [200, 'never'];
  const child = startNode(
    {
      source: `
        const { supervise } = await import(paths.dist + 'supervise.js');
        const { beatTo } = await import(paths.root + 'test/support/beat.mjs');
        const misses = [];
        const beat = beatTo(${JSON.stringify(server.url)});
        const task = supervise(member, ['sleep'], {
          lease: {
            leaseMs: 60_000, intervalMs: 100, timeoutMs: ${allowance(4_000)}, forgivenMisses: 5,
            beat: (context, signal) => {
              misses.push(context.misses);
              if (misses.length === 4) task.stop();
              return beat(context, signal);
            },
          },
        });
        process.stdin.once('data', () => {
          console.log('ready {}');
          const end = performance.now() + ${allowance(5_500)};
          while (performance.now() < end);
          process.stdin.destroy();
        });
        const { kind } = await task.outcome;
        console.log(JSON.stringify({ kind, misses }));`,
    },
    { env: scenario.env, input: '' },
  );
  await waitUntil(() => server.requests === 2);
  child.stdin?.write('block');
  await readReady(child.stdout as Readable);
  server.release(200);
  const closed = once(child, 'close');
  const [line] = await once(createInterface({ input: child.stdout as Readable }), 'line');
  await closed;
  expect(JSON.parse(line)).toEqual({ kind: 'aborted', misses: [0, 0, 0, 0] });
});

it('H7: httpLost knows 404, 409 and 410 by status, statusCode and response.status', () => {
  const lost = [404, 409, 410];
  for (const status of [200, 400, 404, 408, 409, 410, 411, 500]) {
    for (const answer of [{ status }, { statusCode: status }, { response: { status } }]) {
      expect(httpLost(answer)).toBe(lost.includes(status));
    }
  }
  for (const answer of [undefined, null, 409, '409', {}, { status: '409' }, { response: null }, new Error('409')]) {
    expect(httpLost(answer)).toBe(false);
  }
});
