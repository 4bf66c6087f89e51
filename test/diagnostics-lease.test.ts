// What becomes of a lease is told beat by beat, and its last word once, whoever knows it first.
import { afterEach, describe, expect, it } from 'vitest';
import { channels, type LeaseMessage, type ProcessGroup } from '../dist/index.js';
import { type LeaseOptions, type Supervised, type SuperviseOptions, supervise } from '../dist/supervise.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const told: LeaseMessage[] = [];
const listen = (message: LeaseMessage) => told.push(message);
afterEach(() => {
  channels.lease.unsubscribe(listen);
  told.length = 0;
});

const words = () => told.map(({ event, misses }) => `${event} ${misses}`);

function start(
  lease: LeaseOptions | AbortSignal,
  options: SuperviseOptions = {},
): { task: Supervised; groups: ProcessGroup[] } {
  channels.lease.subscribe(listen);
  const groups: ProcessGroup[] = [];
  const task = supervise(member, ['sleep'], {
    env: scenario.env,
    containment: 'tree',
    teardown: [{ signal: 'SIGTERM', graceMs: 200 }],
    output: 'ignore',
    lease,
    onRun: (group) => void groups.push(group),
    ...options,
  });
  return { task, groups };
}

/** Beats that answer what is listed, one after the other; the last one for ever. */
function beats(...answers: readonly (number | Error)[]): LeaseOptions['beat'] {
  const left = [...answers];
  return () => {
    const answer = left.length > 1 ? left.shift() : left[0];
    if (answer instanceof Error) throw answer;
    return { ok: answer === 200, status: answer };
  };
}

describe('diagnostics: a lease', () => {
  it('diagnostics: good beats, misses, and the answer that it is lost', async () => {
    const error = new Error('unreachable');
    const beat = beats(200, 503, error, 200, 503, 409);
    const { task, groups } = start({ beat, leaseMs: 60_000, intervalMs: 40, timeoutMs: 5_000, forgivenMisses: 2 });
    expect(await task.outcome).toMatchObject({ kind: 'lease-lost', reason: 'refused' });
    expect(words()).toEqual(['renewed 0', 'missed 1', 'missed 2', 'renewed 0', 'missed 1', 'lost 1']);
    const [first, missed, thrown] = told;
    expect(first).toMatchObject({ error: null, beatMs: expect.any(Number) });
    expect(missed?.error).toMatchObject({ code: 'ERR_BEAT_FAILED' });
    expect(thrown?.error).toBe(error);
    expect(told.at(-1)?.group).toBe(groups[0]);
  });

  it('diagnostics: one miss too many', async () => {
    const { task } = start({
      beat: beats(200, 500),
      leaseMs: 60_000,
      intervalMs: 20,
      timeoutMs: 5_000,
      forgivenMisses: 1,
    });
    expect(await task.outcome).toMatchObject({ kind: 'heartbeat-failed' });
    expect(words()).toEqual(['renewed 0', 'missed 1', 'failed 2']);
  });

  it('diagnostics: the deadline passes while a beat is out', async () => {
    const beat = () => new Promise(() => {});
    const { task } = start({ beat, leaseMs: 100, intervalMs: 100, timeoutMs: 60_000 });
    expect(await task.outcome).toMatchObject({ kind: 'lease-lost', reason: 'expired' });
    expect(words()).toEqual(['expired 0']);
    expect(told[0]?.beatMs).toBe(null);
  });

  it("diagnostics: an AbortSignal's reason is the lease's last word", async () => {
    const controller = new AbortController();
    const { task, groups } = start(controller.signal);
    await waitUntil(() => groups.length === 1, { what: 'a run' });
    const reason = new Error('the queue has it again');
    controller.abort(reason);
    expect(await task.outcome).toMatchObject({ kind: 'lease-lost', reason: 'aborted' });
    expect(told).toEqual([{ group: groups[0], event: 'lost', misses: 0, beatMs: null, error: reason }]);
  });

  it('diagnostics: between two runs it is about no group', async () => {
    const { task } = start(
      { beat: beats(200), leaseMs: 60_000, intervalMs: 20, timeoutMs: 5_000 },
      { restart: { policy: 'always', backoffMs: 60_000, maxBackoffMs: 60_000, jitter: 0 } },
    );
    await waitUntil(() => task.group, { what: 'a run' });
    await task.group?.kill();
    await waitUntil(() => told.some(({ group, event }) => group === null && event === 'renewed'), {
      what: 'such a beat',
    });
    await task.stop();
    expect(new Set(words())).toEqual(new Set(['renewed 0']));
  });

  it('diagnostics: stop() is no word about the lease', async () => {
    const { task } = start({ beat: beats(200), leaseMs: 60_000, intervalMs: 20, timeoutMs: 5_000 });
    await waitUntil(() => told.length >= 3, { what: 'three beats' });
    await task.stop();
    expect(new Set(words())).toEqual(new Set(['renewed 0']));
    expect(scenario.alive()).toEqual([]);
  });
});
