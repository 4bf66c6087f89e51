// Spawns of the drop-in on the channel of spawns: one message a spawn, told once the child is whole and before its events.
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { spawn } from '../dist/child-process.js';
import { channels, SpawnError, type SpawnedChild, type SpawnMessage } from '../dist/index.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
let undo = () => {};
afterEach(() => undo());

function listen() {
  const told: { event: string; message: SpawnMessage; pid: number | undefined }[] = [];
  const subscribers = Object.fromEntries(
    EVENTS.map((event) => [
      event,
      (message: SpawnMessage) => {
        const result = message.result as SpawnedChild | undefined;
        told.push({ event, message, pid: result?.child.pid });
      },
    ]),
  );
  channels.spawn.subscribe(subscribers);
  undo = () => channels.spawn.unsubscribe(subscribers);
  return told;
}

it.each(['leader', 'group', 'tree'] as const)(
  'diagnostics: a child of the drop-in, containment %s',
  async (containment) => {
    const told = listen();
    const order: string[] = [];
    const child = spawn('/bin/sh', ['-c', 'read line'], {
      containment,
      cwd: '/',
      env: { ...process.env, ...scenario.env },
    });
    child.on('spawn', () => order.push(`spawn after ${told.at(-1)?.event}`));
    expect(told.map(({ event }) => event)).toEqual(['start', 'end']);
    await once(child, 'spawn');
    expect(told.map(({ event }) => event)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
    expect(order).toEqual(['spawn after asyncEnd']);
    expect(new Set(told.map(({ message }) => message)).size).toBe(1);
    const { result, ...message } = (told[0] as (typeof told)[0]).message;
    const isolation = containment === 'group' ? 'group' : 'inherit';
    expect(message).toEqual({
      file: '/bin/sh',
      argv: ['/bin/sh', '-c', 'read line'],
      cwd: '/',
      isolation,
      containment,
    });
    const { pid, gone, stop } = result as SpawnedChild;
    expect([pid, told[2]?.pid]).toEqual([child.pid, child.pid]);
    const report = await stop();
    expect(report).toMatchObject({ empty: true, covers: containment, cause: 'stop' });
    expect(await gone).toBe(report);
    expect(await child.stop()).toBe(report);
  },
);

it('diagnostics: a child of the drop-in that ends by itself', async () => {
  const told = listen();
  const child = spawn('true', [], { stdio: 'ignore' });
  await once(child, 'close');
  const { gone } = (told[0] as (typeof told)[0]).message.result as SpawnedChild;
  expect(await gone).toMatchObject({ empty: true, cause: null });
});

it('diagnostics: a spawn of the drop-in that fails', async () => {
  const told = listen();
  const child = spawn('/nowhere/at-all', [], { stdio: 'ignore' });
  await once(child, 'error');
  expect(told.map(({ event }) => event)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
  expect(told[0]?.message).not.toHaveProperty('result');
  expect(told[0]?.message.error).toBeInstanceOf(SpawnError);
  expect(told[0]?.message.error).toMatchObject({
    code: 'ENOENT',
    errno: -2,
    stage: 'exec',
    syscall: 'spawn /nowhere/at-all',
    path: '/nowhere/at-all',
  });
});
