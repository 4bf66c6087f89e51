// A workload that ends without an answer, says nothing, or says what is no message: typed, torn down, bounded in memory.

import { PassThrough } from 'node:stream';
import { deserialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { WorkloadError } from '../dist/workload.js';
import { frame, type Message, messages } from '../dist/workload-channel.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { rejection, work, workloads } from './support/workloads.js';
import { head } from './support/workloads.mjs';

const scenario = useScenario();
const MIB = 2 ** 20;

/** The run's error, after which nothing may be left. */
async function failed(exportName: string, payload?: unknown, options = {}) {
  const error = await rejection(work(scenario, exportName, payload, options));
  expect(error).toBeInstanceOf(WorkloadError);
  expect(scenario.alive()).toEqual([]);
  return error;
}

describe('T6 exit codes, T3 signals', () => {
  it.each([3, 0, 1, 255])('T6: exit code %i surfaces as it is', async (code) => {
    const error = await failed('exits', code);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code, signal: null, status: 'exact' } });
    expect(error.message).toContain(`code ${code}`);
  });

  it('T6: exit code 3 beside a value', async () => {
    const run = work(scenario, 'exitsByCode', 3);
    expect(await run).toBe('value');
    expect((await run.ended).exit).toMatchObject({ code: 3, signal: null });
  });

  it.each(['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const)('T3: it dies by %s', async (signal) => {
    const error = await failed('dies', signal);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: null, signal } });
    expect(error.message).toContain(signal);
  });

  it.each([0, 1, 100_000])('T3: it dies by SIGKILL in the middle of a message, after %i bytes of it', async (sent) => {
    const error = await failed('diesInMessage', { announced: MIB, sent, signal: 'SIGKILL' });
    expect(error).toMatchObject({
      code: 'ERR_WORKLOAD_EXITED',
      exit: { code: null, signal: 'SIGKILL', status: 'exact' },
    });
    expect(error.cause.message).toContain('in the middle of a message');
  });

  it('T3: it dies while 64 MiB of payload are on their way', async () => {
    const source = "process.kill(process.pid, 'SIGKILL');";
    const options = { execArgv: ['--import', `data:text/javascript,${source}`] };
    const error = await failed('default', Buffer.alloc(64 * MIB), options);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { signal: 'SIGKILL' } });
  });

  it('a promise that can never settle ends it with code 13, as Node does', async () => {
    const error = await failed('neverSettles');
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: 13, signal: null } });
    expect(error.message).toContain('can never happen');
  });

  it('its stderr is in the error', async () => {
    const error = await failed('default', 1, { execArgv: ['--no-such-option'] });
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: 9 } });
    expect(error.message).toContain('before it began');
    expect(error.stderr).toContain('--no-such-option');
  });
});

describe('T3 what is no message', () => {
  it.each<[string, Buffer]>([
    ['text', Buffer.from('hello, world\n')],
    ['zeros', Buffer.alloc(64)],
    ['a body that v8 cannot read', Buffer.concat([head(5), Buffer.from('hello')])],
    ['an empty body', head(0)],
    ['a value that is no message', frame(7 as unknown as Message).reduce((a, b) => Buffer.concat([a, b]))],
    [
      'a message for the other direction',
      Buffer.concat(frame({ kind: 'abort', reason: { root: { text: '' }, errors: [], lists: [] } })),
    ],
    ['a failure without an envelope', Buffer.concat(frame({ kind: 'failure' } as Message))],
    ['begun again', Buffer.concat(frame({ kind: 'begun' }))],
  ])('T3: %s: ERR_WORKLOAD_PROTOCOL, torn down', async (_, bytes) => {
    const error = await failed('writes', bytes);
    expect(error.code).toBe('ERR_WORKLOAD_PROTOCOL');
    expect(error.exit).toMatchObject({ signal: 'SIGTERM' });
  });

  it('T3: a message that claims too much is refused by its header, whatever follows', async () => {
    const { code, grown } = await runNodeJson<{ code: string; grown: number }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const before = process.memoryUsage();
          const error = await runWorkload(${JSON.stringify(workloads.href)}, 2 ** 32 - 1, { exportName: 'floods' }).catch((e) => e);
          const after = process.memoryUsage();
          console.log(JSON.stringify({ code: error.code, grown: (after.rss - before.rss) / ${MIB} }));`,
      },
      { env: scenario.env },
    );
    expect(code).toBe('ERR_WORKLOAD_TOO_LARGE');
    expect(grown).toBeLessThan(60);
    expect(scenario.alive()).toEqual([]);
  });

  it('T3: a channel that is closed while the process runs on', async () => {
    const error = await failed('closesChannel');
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_PROTOCOL', exit: { signal: 'SIGTERM' } });
  });

  it('T3: messages in pieces of any size, and mutilated ones', async () => {
    const sent: Message[] = [
      { kind: 'ready' },
      { kind: 'progress', progress: Buffer.alloc(70_000, 1) },
      { kind: 'progress', progress: '' },
      { kind: 'value', result: { a: [1, 2, 3] } },
    ];
    const whole = Buffer.concat(sent.flatMap((message) => frame(message)));
    const write = async (bytes: Buffer, piece: () => number, limit?: number) => {
      const stream = new PassThrough({ highWaterMark: 2 * MIB });
      for (let at = 0; at < bytes.length; ) {
        const length = piece();
        stream.write(bytes.subarray(at, at + length));
        at += length;
      }
      stream.end();
      const found: Message[] = [];
      const reading = async () => {
        for await (const message of messages(stream, limit)) found.push(message);
      };
      return { found, error: await rejection(reading()) };
    };
    for (const size of [1, 7, 8, 9, 65_536, whole.length]) {
      const { found, error } = await write(whole, () => size);
      expect(found).toEqual(sent);
      expect(error.message).toContain('after a message');
    }
    let refused = 0;
    for (let round = 0; round < scaled(500); round++) {
      const broken = Buffer.from(whole);
      for (let i = 0; i < 3; i++) broken[Math.floor(Math.random() * 200)] = Math.floor(Math.random() * 256);
      const cut = broken.subarray(0, Math.floor(Math.random() * whole.length));
      const { found, error } = await write(cut, () => 1 + Math.floor(Math.random() * 40_000), 100_000);
      expect(error).toBeInstanceOf(Error);
      if (error instanceof WorkloadError) refused++;
      expect(found.length).toBeLessThanOrEqual(sent.length * 20);
    }
    expect(refused, 'control: some of them were no messages').toBeGreaterThan(0);
    expect(deserialize(frame({ kind: 'ready' })[1] as Buffer)).toEqual({ kind: 'ready' });
  });
});

describe('what a workload starts', () => {
  it('is gone with it, also in a session of its own', async () => {
    const pid = await work(scenario, 'leaves', [member, 'ignore-term'], {
      teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
    });
    expect(pid).toBeGreaterThan(0);
    expect(scenario.alive()).toEqual([]);
  });

  it("control: containment 'leader' leaves it", async () => {
    scenario.leaves();
    const pid = await work(scenario, 'leaves', [member, 'ignore-term'], { containment: 'leader' });
    expect(scenario.alive().map((one) => one.pid)).toEqual([pid]);
  });

  it('the workload dies with a supervisor that is killed', async () => {
    const source = `
      const { runWorkload } = await import(paths.dist + 'workload.js');
      const run = runWorkload(${JSON.stringify(workloads.href)}, 1, { exportName: 'hold' });
      for await (const { pid } of run.progress) console.log('holds ' + pid);`;
    const supervisor = startNode({ source }, { env: scenario.env });
    await new Promise((resolve) => supervisor.stdout?.once('data', resolve));
    expect(scenario.alive().length).toBeGreaterThanOrEqual(3);
    supervisor.kill('SIGKILL');
    await waitUntil(() => scenario.alive().length === 0);
  });
});
