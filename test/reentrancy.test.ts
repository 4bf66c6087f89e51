import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AbortError, type ProcessGroup, type StateChange, spawn, type TeardownReport } from '../dist/index.js';
import { openFds } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 30 }] as const;

// What can be done to a handle at any moment. Each gives a report, or nothing.
type Act = (group: ProcessGroup, controller: AbortController) => Promise<TeardownReport> | undefined;
const acts: Record<string, Act> = {
  stop: (group) => group.stop(),
  kill: (group) => group.kill(),
  abort: (_group, controller) => {
    controller.abort(new Error('asked for'));
    return undefined;
  },
  dispose: (group) => {
    void group[Symbol.asyncDispose]();
    return undefined;
  },
  signal: (group) => {
    group.signal('SIGTERM');
    return undefined;
  },
};

// Where user code runs.
type Place = (group: ProcessGroup, act: () => void) => void;
const places: Record<string, Place> = {
  'the turn of spawn': (_group, act) => act(),
  'the next turn': (_group, act) => void setImmediate(act),
  'every state change': (group, act) => void group.onStateChange(act),
  "stdout 'data'": (group, act) => void group.stdout?.on('data', act),
  "stdout 'end'": (group, act) => void group.stdout?.resume().on('end', act),
  "stdout 'close'": (group, act) => void group.stdout?.resume().on('close', act),
  "stdin 'close'": (group, act) => void group.stdin?.on('close', act),
  exited: (group, act) => void group.exited.then(act),
  closed: (group, act) => void group.closed.then(act),
  gone: (group, act) => void group.gone.then(act),
};

// Other code that opens and closes descriptors all the time, and notices when one of its own is taken away.
let churning = false;
let churned: Promise<void>;
let mixedUp: unknown[];
beforeEach(() => {
  churning = true;
  mixedUp = [];
  churned = (async () => {
    while (churning) {
      const fds: number[] = [];
      try {
        for (let i = 0; i < 20; i++) fds.push(openSync('/proc/self/comm', 'r'));
        await new Promise((resolve) => setImmediate(resolve));
        for (const fd of fds) if (readFileSync(fd, 'utf8').length < 2) mixedUp.push('not the file that was opened');
        for (const fd of fds.splice(0)) closeSync(fd);
      } catch (error) {
        mixedUp.push(error);
      }
    }
  })();
});
const unexpected: unknown[] = [];
const note = (error: unknown) => unexpected.push(error);
beforeEach(() => {
  unexpected.length = 0;
  process.on('unhandledRejection', note).on('uncaughtException', note);
});
afterEach(async () => {
  churning = false;
  await churned;
  process.off('unhandledRejection', note).off('uncaughtException', note);
  expect(mixedUp).toEqual([]);
  expect(unexpected).toEqual([]);
});

async function round(place: Place, chosen: readonly Act[], args: string[]): Promise<void> {
  const controller = new AbortController();
  const group = (await spawn(member, args, {
    env: scenario.env,
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: controller.signal,
    teardown,
    drainMs: 50,
  })) as ProcessGroup;
  const states: StateChange[] = [];
  const reports: (Promise<TeardownReport> | undefined)[] = [];
  group.onStateChange((change) => states.push(change));
  place(group, () => {
    for (const act of chosen) reports.push(act(group, controller), act(group, controller));
  });
  // Where the place is never reached by itself, or the act does not end the group, the group still ends.
  const timer = setTimeout(() => void group.kill(), 120);
  const [report] = await Promise.all([group.gone, group.exited, group.closed]);
  clearTimeout(timer);
  reports.push(group.stop(), group.kill());
  await group[Symbol.asyncDispose]();
  controller.abort();
  expect(group.signal('SIGTERM')).toBe('gone');
  for (const one of reports) if (one) expect(await one).toBe(report);
  expect(report).toMatchObject({ empty: true, survivors: [] });
  await new Promise((resolve) => setImmediate(resolve));
  const count = (state: string) => states.filter((change) => change.state === state).length;
  expect(count('draining')).toBeLessThanOrEqual(1);
  expect(count('leader-exited')).toBeLessThanOrEqual(1);
  expect(count('empty')).toBe(1);
  expect(states.at(-1)?.state).toBe('empty');
}

describe.each(Object.keys(places))('G12: from %s', (name) => {
  const place = places[name] as Place;
  it.each([...Object.keys(acts), 'everything'])('G12: %s, twice and again afterwards', async (act) => {
    const chosen = act === 'everything' ? Object.values(acts) : [acts[act] as Act];
    // One that ends by itself, one that has to be ended, one whose members outlive it.
    const subjects = [['print', '10', '0'], ['sleep'], ['leader-exits-first'], ['grandchild-ignores-term']];
    const rounds = Array.from({ length: scaled(3) }, () => subjects).flat();
    await round(place, chosen, ['exit', '0']);
    const before = openFds().length;
    const ends = name.startsWith('the ') || name === 'every state change' || name === "stdout 'data'";
    const few = ends ? rounds : rounds.filter(([verb]) => verb !== 'sleep' && verb !== 'grandchild-ignores-term');
    await Promise.all(few.map((args) => round(place, chosen, args)));
    churning = false;
    await churned;
    expect(openFds().length).toBeLessThanOrEqual(before);
    expect(scenario.alive()).toEqual([]);
  });
});

describe('G12: an abort', () => {
  const moments: Record<string, (abort: () => void) => void> = {
    'before the call': (abort) => abort(),
    'in the same tick': (abort) => abort(),
    'in the next microtask': (abort) => queueMicrotask(abort),
    'in the next tick': (abort) => process.nextTick(abort),
    'in the next turn': (abort) => void setImmediate(abort),
    'soon after': (abort) => void setTimeout(abort, Math.random() * 4),
  };
  it.each(Object.keys(moments))('G12: %s: AbortError, or a teardown', async (moment) => {
    const reason = new Error('changed my mind');
    let settled = 0;
    const one = async () => {
      const controller = new AbortController();
      const abort = () => controller.abort(reason);
      if (moment === 'before the call') abort();
      const spawning = spawn(member, ['wide', '2'], {
        env: scenario.env,
        stdio: 'ignore',
        signal: controller.signal,
        teardown,
      });
      if (moment !== 'before the call') moments[moment]?.(abort);
      try {
        const group = await spawning;
        expect(await group.gone).toMatchObject({ empty: true, cause: 'abort' });
      } catch (error) {
        if (!(error instanceof AbortError)) throw error;
        expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason });
        settled += 1;
      }
    };
    const count = scaled(100);
    for (let i = 0; i < count; i += 10) await Promise.all(Array.from({ length: 10 }, one));
    // Nothing native is delivered before the next turn: spawn cannot have settled.
    if (!['in the next turn', 'soon after'].includes(moment)) expect(settled).toBe(Math.ceil(count / 10) * 10);
    expect(scenario.alive()).toEqual([]);
  });
});

it('G12: kill() during the grace of stop() ends it at once, with the same report', async () => {
  const { group } = await startMember(scenario, ['grandchild-ignores-term'], {
    teardown: [{ signal: 'SIGTERM', graceMs: 30_000 }],
  });
  const [stopped, killed] = await Promise.all([group.stop(), group.exited.then(() => group.kill())]);
  expect(killed).toBe(stopped);
  expect(stopped).toMatchObject({ empty: true, cause: 'stop' });
  expect(stopped.durationMs).toBeLessThan(10_000);
});

it('G12: a listener that throws or unsubscribes does not disturb the others', async () => {
  const { group } = await startMember(scenario, ['sleep'], { teardown });
  const seen: string[] = [];
  const thrown = new Error('from a listener');
  group.onStateChange(() => {
    throw thrown;
  });
  const off = group.onStateChange(() => off());
  group.onStateChange(({ state }) => seen.push(state));
  expect(await group.stop()).toMatchObject({ empty: true });
  await new Promise((resolve) => setImmediate(resolve));
  expect(seen.at(-1)).toBe('empty');
  expect(unexpected.splice(0).every((error) => error === thrown)).toBe(true);
});

it('G12: stdin swallows EPIPE after the end, and destroy() of every stream at any time is harmless', async () => {
  const { group } = await startMember(scenario, ['sleep'], { stdio: ['pipe', 'pipe', 'pipe'], teardown });
  const stdin = group.stdin as Writable;
  const written = new Promise((resolve) => stdin.write(Buffer.alloc(1 << 20), resolve));
  (group.stdout as Readable).destroy();
  const report = await group.stop();
  await written;
  for (let i = 0; i < 3; i++) {
    stdin.write('more');
    stdin.end();
    for (const stream of group.stdio) stream?.destroy();
  }
  expect(report.empty).toBe(true);
  expect(await group.closed).toMatchObject({ heldBy: [] });
});
