// A workload that ends without an answer, says nothing, or says what is no message: typed, torn down, bounded in memory.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { deserialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { runWorkload, WorkloadError } from '../dist/workload.js';
import { frame, type Message, messages } from '../dist/workload-channel.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNode, runNodeJson, startNode } from './support/run-node.js';
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
      Buffer.concat(frame({ kind: 'abort', reason: { root: { text: '' }, errors: [] } })),
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

describe('T4 output', () => {
  it('T4: 100 MiB of stderr that nobody reads: it exits, and the tail is bounded', async () => {
    const { value, end, grown } = await runNodeJson<{
      value: number;
      end: { exit: { code: number }; stdout: string; stderr: string };
      grown: number;
    }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const before = process.memoryUsage().rss;
          const payload = { stderr: 'e'.repeat(${MIB} - 1) + '\\n', times: 100 };
          const run = runWorkload(${JSON.stringify(workloads.href)}, payload, { exportName: 'prints', tailBytes: 1000 });
          const value = await run;
          const grown = (process.memoryUsage().rss - before) / ${MIB};
          console.log(JSON.stringify({ value, end: await run.ended, grown }));`,
      },
      { env: scenario.env },
    );
    expect(value).toBe(100);
    expect(end.exit).toMatchObject({ code: 0 });
    expect(end.stderr.length).toBe(1_000);
    expect(end.stderr.endsWith('e\nend of stderr\n')).toBe(true);
    expect(end.stdout).toBe('end of stdout\n');
    expect(grown).toBeLessThan(60);
  });

  it('what the workload prints on stdout disturbs neither the channel nor our stdout', async () => {
    const noise = Buffer.concat([head(10), Buffer.from('ready {}\n{"kind":"value"}\n')]).toString('latin1');
    const { value, tail } = await runNodeJson<{ value: number; tail: string }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const run = runWorkload(${JSON.stringify(workloads.href)}, { stdout: ${JSON.stringify(noise)} }, { exportName: 'prints' });
          const value = await run;
          console.log(JSON.stringify({ value, tail: (await run.ended).stdout }));`,
      },
      { env: scenario.env },
    );
    expect(value).toBe(1);
    expect(tail).toBe(`${noise}end of stdout\n`);
  });

  it("'inherit' and 'ignore'", async () => {
    const outputs = async (stdout: string, stderr: string) => {
      const source = `
        const { runWorkload } = await import(paths.dist + 'workload.js');
        const options = { exportName: 'prints', stdout: '${stdout}', stderr: '${stderr}' };
        const run = runWorkload(${JSON.stringify(workloads.href)}, {}, options);
        await run;
        const { stdout, stderr } = await run.ended;
        console.log(JSON.stringify({ stdout, stderr }));`;
      const run = await runNode({ source }, { env: scenario.env });
      expect(run.code).toBe(0);
      return [run.stdout, run.stderr];
    };
    const none = '{"stdout":"","stderr":""}\n';
    expect(await outputs('inherit', 'ignore')).toEqual([`end of stdout\n${none}`, '']);
    expect(await outputs('ignore', 'inherit')).toEqual([none, 'end of stderr\n']);
  });

  it('a tail begins with a whole character', async () => {
    const run = work(scenario, 'prints', { stdout: '\u{1f600}'.repeat(100) }, { tailBytes: 21 });
    await run;
    expect((await run.ended).stdout).toBe('\u{1f600}end of stdout\n');
    const none = work(scenario, 'prints', {}, { tailBytes: 0 });
    await none;
    expect(await none.ended).toMatchObject({ stdout: '', stderr: '' });
  });
});

describe('T6 deadlines', () => {
  it.each([
    ['its module never finishes loading', 'data:text/javascript,setInterval(()=>{},1e6);await new Promise(()=>{})'],
    ['its module is busy for ever', 'data:text/javascript,for(;;);'],
  ])('T6: never ready, since %s: torn down at startMs', async (_, module) => {
    const begin = performance.now();
    const error = await rejection(runWorkload(module, 1, { env: scenario.env, startMs: 700 }));
    const ms = performance.now() - begin;
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_START_TIMEOUT', exit: { signal: 'SIGTERM' } });
    expect(ms).toBeGreaterThanOrEqual(690);
    expect(ms).toBeLessThan(6_000);
    expect(scenario.alive()).toEqual([]);
  });

  it('T6: never ready, since the program is no Node at all', async () => {
    const error = await failed('default', 1, {
      execPath: member,
      execArgv: ['ignore-term'],
      startMs: 300,
      teardown: [],
    });
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_START_TIMEOUT', exit: { signal: 'SIGKILL' } });
  });

  it('startMs does not count once the workload has begun', async () => {
    expect(await work(scenario, 'slowValue', 1_500, { startMs: 1_200 })).toBe('slow');
  });

  it('timeoutMs: told first, then torn down', async () => {
    const told = await failed('heeds', { file: '/dev/null', answer: 'reason' }, { timeoutMs: 700 });
    expect(told).toMatchObject({ code: 'ERR_WORKLOAD_TIMEOUT', exit: { code: 0 } });
    const busy = await failed('busy', 1, { timeoutMs: 700, abortGraceMs: 100 });
    expect(busy).toMatchObject({ code: 'ERR_WORKLOAD_TIMEOUT', exit: { signal: 'SIGTERM' } });
  });

  it('timeoutMs holds while our own event loop is blocked: the engine has the deadline too', async () => {
    const { diedAfter, code } = await runNodeJson<{ diedAfter: number; code: string }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const options = { exportName: 'ignoresTerm', timeoutMs: 1500, abortGraceMs: 100, teardown: [] };
          const run = runWorkload(${JSON.stringify(workloads.href)}, 1, options);
          run.catch(() => {});
          const { value: pid } = await run.progress[Symbol.asyncIterator]().next();
          const begin = performance.now();
          let diedAfter = -1;
          while (performance.now() - begin < 8000 && diedAfter < 0) if (oracle.isDead(pid)) diedAfter = performance.now() - begin;
          const { code } = await run.catch((error) => error);
          console.log(JSON.stringify({ diedAfter, code }));`,
      },
      { env: scenario.env },
    );
    expect(diedAfter).toBeGreaterThan(0);
    expect(diedAfter).toBeLessThan(5_000);
    expect(code).toBe('ERR_WORKLOAD_TIMEOUT');
  });
});

describe('an abort', () => {
  function file(): string {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-abort-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    return join(folder, 'said');
  }

  it.each(['reason', 'value', 'string'])(
    "reaches the workload's own signal first; it answers with its %s",
    async (answer) => {
      const said = file();
      const controller = new AbortController();
      const run = work(scenario, 'heeds', { file: said, answer }, { signal: controller.signal, abortGraceMs: 20_000 });
      const why = Object.assign(new RangeError('taken away'), { detail: { job: 7 } });
      const reading = (async () => {
        for await (const _ of run.progress) controller.abort(why);
      })();
      const error = await rejection(run);
      expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
      expect(error.cause).toBe(why);
      expect(await rejection(reading)).toBe(error);
      expect(readFileSync(said, 'utf8')).toBe('aborted: RangeError taken away [object Object]\n');
      const { exit, report } = await run.ended;
      expect([exit?.code, exit?.signal, report?.steps]).toEqual([0, null, []]);
    },
  );

  it('one that it does not answer: the ladder after abortGraceMs', async () => {
    const said = file();
    const controller = new AbortController();
    const run = work(
      scenario,
      'heeds',
      { file: said, answer: 'nothing' },
      { signal: controller.signal, abortGraceMs: 300 },
    );
    let began = 0;
    for await (const _ of run.progress) {
      began = performance.now();
      controller.abort();
      break;
    }
    expect(await rejection(run)).toMatchObject({ code: 'ABORT_ERR' });
    expect(performance.now() - began).toBeGreaterThanOrEqual(290);
    expect(readFileSync(said, 'utf8')).toMatch(/^aborted: AbortError/);
    const { exit, report } = await run.ended;
    expect(exit?.signal).toBe('SIGTERM');
    expect(report).toMatchObject({ empty: true, cause: 'abort' });
    expect(scenario.alive()).toEqual([]);
  });

  it('one that ignores SIGTERM too gets SIGKILL', async () => {
    const controller = new AbortController();
    const options = {
      signal: controller.signal,
      abortGraceMs: 50,
      teardown: [{ signal: 'SIGTERM', graceMs: 200 }],
    } as const;
    const run = work(scenario, 'ignoresTerm', 1, options);
    for await (const _ of run.progress) {
      controller.abort();
      break;
    }
    await rejection(run);
    expect((await run.ended).exit?.signal).toBe('SIGKILL');
    expect(scenario.alive()).toEqual([]);
  });

  it('before anything was started, while it is being spawned, while it starts', async () => {
    const early = work(scenario, 'default', 1, { signal: AbortSignal.abort(new Error('early')) });
    expect(await rejection(early)).toMatchObject({ code: 'ABORT_ERR', cause: { message: 'early' } });
    expect((await early.ended).report).toBeNull();
    for (let round = 0; round < scaled(60); round++) {
      const controller = new AbortController();
      const run = work(scenario, 'default', 1, { signal: controller.signal });
      const turns = Math.floor(Math.random() * 12);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      expect(await rejection(run)).toMatchObject({ code: 'ABORT_ERR' });
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('after the value: none', async () => {
    const controller = new AbortController();
    expect(await work(scenario, 'default', 5, { signal: controller.signal })).toBe(5);
    controller.abort();
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
