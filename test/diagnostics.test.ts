// What the package tells through node:diagnostics_channel: every event once, in order, with what it is about; nothing is
// built where nobody listens, and nobody who listens can do harm.
import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import { afterEach, describe, expect, it } from 'vitest';
import { AbortError, attach, channels, type ProcessGroup, SpawnError, spawn } from '../dist/index.js';
import { member } from './support/paths.mjs';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const TRACING = ['spawn', 'teardown', 'adopt'] as const;
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
const PLAIN = ['exit', 'signal', 'lease', 'scope'] as const;
const teardown = [{ signal: 'SIGTERM', graceMs: 50 }] as const;

interface Told {
  name: string;
  message: Record<string, unknown>;
}

let undo: (() => void)[] = [];
afterEach(() => {
  for (const one of undo) one();
  undo = [];
});

/** Listens by name, as somebody does who knows the documentation alone. */
function listen(act: (name: string, message: Record<string, unknown>) => void = () => {}): Told[] {
  const told: Told[] = [];
  const on = (name: string, short: string) => {
    const listener = (message: unknown) => {
      told.push({ name: short, message: message as Told['message'] });
      act(short, message as Told['message']);
    };
    channel(name).subscribe(listener);
    undo.push(() => channel(name).unsubscribe(listener));
  };
  for (const name of TRACING) for (const event of EVENTS) on(`tracing:procgroup:${name}:${event}`, `${name} ${event}`);
  for (const name of PLAIN) on(`procgroup:${name}`, name);
  return told;
}

const names = (told: readonly Told[], of?: string) =>
  told.map(({ name }) => name).filter((name) => of === undefined || name.startsWith(of));
const settled = (name: string) => [`${name} start`, `${name} end`, `${name} asyncStart`, `${name} asyncEnd`];
const failed = (name: string) => [`${name} start`, `${name} end`, `${name} error`, ...settled(name).slice(2)];

describe.each(['group', 'tree'] as const)('diagnostics: containment %s', (containment) => {
  it('diagnostics: a life from spawn to the end of the teardown, one message an operation', async () => {
    const told = listen();
    const { group } = await startMember(scenario, ['sleep'], { containment, teardown, cwd: '/' });
    expect(names(told)).toEqual(settled('spawn'));
    expect(new Set(told.map(({ message }) => message)).size).toBe(1);
    expect(told[0]?.message).toMatchObject({ file: member, argv: [member, '-r', '3', 'sleep'], cwd: '/' });
    expect(told[0]?.message).toMatchObject({ isolation: 'group', containment, result: group });
    expect(told[0]?.message).not.toHaveProperty('error');

    told.length = 0;
    expect(group.signal('SIGWINCH')).toBe('group');
    const [signalled] = told.splice(0);
    expect(signalled?.message).toEqual({ group, signal: 'SIGWINCH', target: 'group', error: null });

    const [report] = await Promise.all([group.stop(), group.stop(), group.kill()]);
    expect(names(told, 'teardown')).toEqual(settled('teardown'));
    expect(names(told, 'exit')).toEqual(['exit']);
    expect(told[0]?.message).toEqual({ group, cause: 'stop', result: report });
    const exit = told.find(({ name }) => name === 'exit');
    expect(exit?.message).toEqual({ group, exit: await group.exited });
    expect(names(told).at(-1)).toBe('teardown asyncEnd');

    told.length = 0;
    expect(group.signal('SIGTERM')).toBe('gone');
    expect(told[0]?.message).toMatchObject({ signal: 'SIGTERM', target: 'gone', error: null });
    await group.stop();
    expect(names(told)).toEqual(['signal']);
  });

  it('diagnostics: a group that ends by itself has no teardown', async () => {
    const told = listen();
    const group = await spawn(member, ['exit', '3'], { containment, stdio: 'ignore', env: scenario.env });
    await group.gone;
    expect(names(told)).toEqual([...settled('spawn'), 'exit']);
    expect(told.at(-1)?.message).toMatchObject({ group, exit: { code: 3, signal: null } });
  });

  it('diagnostics: a teardown that the engine begins is told with its cause', async () => {
    const told = listen();
    const group = await spawn(member, ['sleep'], { containment, stdio: 'ignore', env: scenario.env, timeoutMs: 20 });
    const report = await group.gone;
    expect(names(told, 'teardown')).toEqual(settled('teardown'));
    expect(told.at(-1)?.message).toEqual({ group, cause: 'timeout', result: report });
  });

  it('diagnostics: a spawn that fails, and one that is aborted', async () => {
    const told = listen();
    const refused = await spawn('/nowhere/at-all', { containment }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(SpawnError);
    expect(names(told)).toEqual(failed('spawn'));
    expect(told[0]?.message.error).toBe(refused);
    expect(told[0]?.message).not.toHaveProperty('result');

    told.length = 0;
    const controller = new AbortController();
    const options = { containment, signal: controller.signal, env: scenario.env, stdio: 'ignore' } as const;
    const pending = spawn(member, ['sleep'], options).catch((error: unknown) => error);
    controller.abort();
    const aborted = await pending;
    expect(aborted).toBeInstanceOf(AbortError);
    expect(names(told, 'spawn')).toEqual(failed('spawn'));
    expect(told.find(({ name }) => name === 'spawn error')?.message.error).toBe(aborted);
    expect(scenario.alive()).toEqual([]);
  });

  it('diagnostics: no exit is told before its spawn', async () => {
    const known = new Set<ProcessGroup>();
    const early: unknown[] = [];
    listen((name, message) => {
      if (name === 'spawn asyncEnd') known.add(message.result as ProcessGroup);
      if (name === 'exit' && !known.has(message.group as ProcessGroup)) early.push(message);
    });
    const rounds = scaled(containment === 'tree' ? 40 : 100);
    for (let round = 0; round < rounds; round += 10) {
      const options = { containment, stdio: 'ignore', env: scenario.env } as const;
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const group = await spawn(member, ['exit', '0'], options);
          await group.gone;
        }),
      );
    }
    expect(early).toEqual([]);
    expect(known.size).toBeGreaterThanOrEqual(rounds);
  });
});

it('diagnostics: arguments that are refused are no spawn and no adoption', async () => {
  const told = listen();
  await expect(spawn('')).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  await expect(spawn('x', { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AbortError);
  await expect(attach(0)).rejects.toMatchObject({ code: 'ERR_PGID_ZERO' });
  expect(told).toEqual([]);
});

it('diagnostics: attach() is an adoption; one that finds no group fails', async () => {
  const { group } = await startMember(scenario, ['sleep'], { containment: 'group', teardown });
  const told = listen();
  const adopted = await attach(group.pgid, { teardown });
  expect(names(told)).toEqual(settled('adopt'));
  expect(told[0]?.message).toEqual({ pgid: group.pgid, result: adopted });

  told.length = 0;
  await adopted.stop();
  await group.gone;
  expect(names(told, 'teardown')).toEqual(settled('teardown'));
  expect(told[0]?.message).toMatchObject({ group: adopted, cause: 'stop' });

  told.length = 0;
  const error = await attach(group.pgid).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'ESRCH' });
  expect(names(told)).toEqual(failed('adopt'));
  expect(told[0]?.message).toEqual({ pgid: group.pgid, error });
});

it('diagnostics: start runs in the context of the caller, and binds stores for what it begins', async () => {
  const caller = new AsyncLocalStorage<string>();
  const bound = new AsyncLocalStorage<unknown>();
  const seen: unknown[] = [];
  listen((name) => {
    if (name.endsWith(' start')) seen.push(caller.getStore(), (bound.getStore() as { file?: string })?.file);
  });
  channels.spawn.start.bindStore(bound, (message) => message);
  undo.push(() => channels.spawn.start.unbindStore(bound));
  const group = await caller.run('request 1', () =>
    spawn(member, ['sleep'], { containment: 'group', stdio: 'ignore', env: scenario.env, teardown }),
  );
  expect(bound.getStore()).toBe(undefined);
  await caller.run('request 2', () => group.stop());
  expect(seen).toEqual(['request 1', member, 'request 2', undefined]);
});

it('diagnostics: who comes in the middle is not told of ends without beginnings', async () => {
  const pending = spawn(member, ['sleep'], { containment: 'group', stdio: 'ignore', env: scenario.env, teardown });
  const told = listen();
  const group = await pending;
  expect(told).toEqual([]);
  await group.stop();
  expect(names(told, 'teardown')).toEqual(settled('teardown'));
});

it('diagnostics: whatever a subscriber does with the handle, there is one teardown and one report', async () => {
  const reports: Promise<unknown>[] = [];
  const told = listen((name, message) => {
    const group = (message.group ?? message.result) as ProcessGroup | undefined;
    if (name === 'signal' || typeof group?.stop !== 'function') return;
    group.signal('SIGCONT');
    reports.push(group.stop(), group.kill());
  });
  const group = await spawn(member, ['sleep'], { containment: 'group', stdio: 'ignore', env: scenario.env, teardown });
  const report = await group.gone;
  await group.stop();
  expect(names(told, 'teardown')).toEqual(settled('teardown'));
  expect(names(told, 'exit')).toEqual(['exit']);
  expect(reports.length).toBeGreaterThan(4);
  expect(new Set(await Promise.all(reports))).toEqual(new Set([report]));
});

it('diagnostics: nothing is published where nobody listens', async () => {
  let published = 0;
  const every = [
    ...PLAIN.map((name) => channels[name]),
    ...TRACING.flatMap((name) => EVENTS.map((e) => channels[name][e])),
  ];
  for (const one of every) {
    Object.defineProperty(one, 'publish', { configurable: true, value: () => published++ });
    undo.push(() => Reflect.deleteProperty(one, 'publish'));
  }
  const live = async () => {
    const { group } = await startMember(scenario, ['sleep'], { containment: 'group', teardown });
    group.signal('SIGCONT');
    const adopted = await attach(group.pgid);
    await adopted.stop();
    await group.gone;
  };
  await live();
  expect(published).toBe(0);
  listen();
  await live();
  expect(published, 'control: with subscribers it is').toBeGreaterThan(10);
});

it('diagnostics: the channels are those of their names; a lease is told by who knows of it', () => {
  const seen: unknown[] = [];
  const listener = (message: unknown, name: string | symbol) => seen.push(name, message);
  channels.lease.subscribe(listener);
  const message = {
    group: {} as ProcessGroup,
    event: 'missed',
    misses: 2,
    beatMs: 7,
    error: new Error('503'),
  } as const;
  channel('procgroup:lease').publish(message);
  expect(channels.lease.unsubscribe(listener)).toBe(true);
  channels.lease.publish(message);
  expect(seen).toEqual(['procgroup:lease', message]);
  for (const name of TRACING) expect(channels[name].start).toBe(tracingChannel(`procgroup:${name}`).start);
  for (const name of PLAIN) expect(channels[name]).toBe(channel(`procgroup:${name}`));
});
