// Checked by the compiler alone (npm run types): stream types follow the stdio literal.
import type { Readable, Writable } from 'node:stream';
import { expectTypeOf } from 'vitest';
import {
  attach,
  type ClosedResult,
  channels,
  type ExitResult,
  output,
  type ProcessGroup,
  type ProcessGroupError,
  type StdioOption,
  spawn,
  type TeardownReport,
} from '../dist/index.js';
import { killpg, pidfdOpen } from '../dist/posix.js';
import {
  runWorkload,
  type WorkloadContext,
  type WorkloadEnd,
  WorkloadPool,
  type WorkloadRun,
} from '../dist/workload.js';

export async function streams(anyStdio: StdioOption, entry: 'pipe' | 'ignore'): Promise<void> {
  const byDefault = await spawn('true');
  expectTypeOf(byDefault.stdin).toEqualTypeOf<null>();
  expectTypeOf(byDefault.stdout).toEqualTypeOf<Readable>();
  expectTypeOf(byDefault.stderr).toEqualTypeOf<null>();

  const withOptions = await spawn('true', ['x'], { cwd: '/' });
  expectTypeOf(withOptions.stdout).toEqualTypeOf<Readable>();

  const pipes = await spawn('true', [], { stdio: 'pipe' });
  expectTypeOf(pipes.stdin).toEqualTypeOf<Writable>();
  expectTypeOf(pipes.stdout).toEqualTypeOf<Readable>();
  expectTypeOf(pipes.stderr).toEqualTypeOf<Readable>();

  const none = await spawn('true', [], { stdio: 'ignore' });
  expectTypeOf(none.stdout).toEqualTypeOf<null>();
  expectTypeOf((await spawn('true', [], { stdio: 'inherit' })).stdout).toEqualTypeOf<null>();

  const list = await spawn('true', [], { stdio: ['pipe', 'inherit', 'pipe'] });
  expectTypeOf(list.stdin).toEqualTypeOf<Writable>();
  expectTypeOf(list.stdout).toEqualTypeOf<null>();
  expectTypeOf(list.stderr).toEqualTypeOf<Readable>();

  const files = await spawn('true', [], { stdio: [{ file: '/dev/null' }, 1, 'pipe', 'pipe'] });
  expectTypeOf(files.stdin).toEqualTypeOf<null>();
  expectTypeOf(files.stdout).toEqualTypeOf<null>();
  expectTypeOf(files.stderr).toEqualTypeOf<Readable>();

  // What is left out is as in the default.
  const short = await spawn('true', [], { stdio: ['pipe'] });
  expectTypeOf(short.stdin).toEqualTypeOf<Writable>();
  expectTypeOf(short.stdout).toEqualTypeOf<Readable>();
  expectTypeOf(short.stderr).toEqualTypeOf<null>();

  const either = await spawn('true', [], { stdio: [entry, entry, 'ignore'] });
  expectTypeOf(either.stdout).toEqualTypeOf<Readable | null>();

  const unknown = await spawn('true', [], { stdio: anyStdio });
  expectTypeOf(unknown.stdin).toEqualTypeOf<Writable | null>();
  expectTypeOf(unknown.stdout).toEqualTypeOf<Readable | null>();
}

export async function handle(group: ProcessGroup): Promise<void> {
  expectTypeOf(group.exited).toEqualTypeOf<Promise<ExitResult>>();
  expectTypeOf(group.closed).toEqualTypeOf<Promise<ClosedResult>>();
  expectTypeOf(group.gone).toEqualTypeOf<Promise<TeardownReport>>();
  expectTypeOf(group.stop()).toEqualTypeOf<Promise<TeardownReport>>();
  expectTypeOf(group.signal('SIGTERM')).toEqualTypeOf<'group' | 'leader' | 'members' | 'gone'>();
  expectTypeOf(await attach(1234)).toExtend<ProcessGroup>();
  expectTypeOf(await spawn('true', [], { stdio: 'pipe' })).toExtend<ProcessGroup>();
  // @ts-expect-error a signal has a name
  group.signal(15);
}

export async function collected(): Promise<void> {
  expectTypeOf((await output('true')).stdout).toEqualTypeOf<string>();
  expectTypeOf((await output('true', [], { encoding: 'hex' })).stderr).toEqualTypeOf<string>();
  expectTypeOf((await output('true', [], { encoding: 'buffer' })).stdout).toEqualTypeOf<Buffer>();
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error an unknown isolation
  await spawn('true', [], { isolation: 'none' });
  // @ts-expect-error a number is no argument
  await spawn('true', [1]);
  // @ts-expect-error an unknown stdio word
  await spawn('true', [], { stdio: ['pipe', 'ipc'] });
  // @ts-expect-error a step has a grace
  await spawn('true', [], { teardown: [{ signal: 'SIGTERM' }] });
  // @ts-expect-error an unknown limit
  await spawn('true', [], { rlimits: { files: 1 } });
}

export function primitives(): void {
  expectTypeOf(killpg).parameter(0).toEqualTypeOf<number>();
  expectTypeOf(pidfdOpen(1).wait()).toEqualTypeOf<Promise<void>>();
}

export function diagnostics(group: ProcessGroup): void {
  channels.exit.subscribe((message) => {
    expectTypeOf(message.exit).toEqualTypeOf<ExitResult>();
    expectTypeOf(message.group).toEqualTypeOf<ProcessGroup>();
  });
  channels.signal.subscribe(({ target, error }) => {
    expectTypeOf(target).toEqualTypeOf<'group' | 'leader' | 'members' | 'gone' | null>();
    expectTypeOf(error).toEqualTypeOf<ProcessGroupError | null>();
  });
  channels.teardown.subscribe({
    asyncEnd: ({ result }) => expectTypeOf(result).toEqualTypeOf<TeardownReport | undefined>(),
  });
  channels.spawn.subscribe({
    start: ({ file, argv }) => expectTypeOf([file, ...argv]).toEqualTypeOf<string[]>(),
    error: ({ error }) => expectTypeOf(error).toEqualTypeOf<Error | undefined>(),
  });
  channels.adopt.subscribe({ asyncEnd: ({ pgid }) => expectTypeOf(pgid).toEqualTypeOf<number>() });
  channels.lease.publish({ group, event: 'renewed', misses: 0, beatMs: 12, error: null });
  // @ts-expect-error an unknown event
  channels.lease.publish({ group, event: 'beat', misses: 0, beatMs: 12, error: null });
  // @ts-expect-error a message without its group
  channels.exit.publish({ exit: {} as ExitResult });
}

declare const workloads: {
  resize(payload: { path: string; width: number }, context: WorkloadContext<{ done: number }>): Promise<Uint8Array>;
  version(): string;
  shout(text?: string): string;
};

export async function ofWorkloads(url: URL): Promise<void> {
  const run = runWorkload<typeof workloads.resize>(
    url,
    { path: 'a', width: 1 },
    { exportName: 'resize', settle: 'value' },
  );
  expectTypeOf(run).toEqualTypeOf<WorkloadRun<typeof workloads.resize>>();
  expectTypeOf(await run).toEqualTypeOf<Uint8Array>();
  expectTypeOf(run.ended).toEqualTypeOf<Promise<WorkloadEnd>>();
  for await (const progress of run.progress) expectTypeOf(progress).toEqualTypeOf<{ done: number }>();
  // @ts-expect-error what its payload is not
  runWorkload<typeof workloads.resize>(url, { path: 'a' });
  // @ts-expect-error no payload at all
  runWorkload<typeof workloads.resize>(url);

  expectTypeOf(await runWorkload<typeof workloads.version>(url, undefined)).toEqualTypeOf<string>();
  expectTypeOf(await runWorkload<typeof workloads.shout>(url, undefined)).toEqualTypeOf<string>();
  expectTypeOf(runWorkload<typeof workloads.version>(url, undefined).progress).toEqualTypeOf<AsyncIterable<never>>();
  // @ts-expect-error it takes none
  runWorkload<typeof workloads.version>(url, 1);
  // @ts-expect-error not a function
  runWorkload<string>(url, 1);

  // Without a type nothing is known.
  expectTypeOf(await runWorkload(url, { any: 'thing' })).toEqualTypeOf<unknown>();
  // @ts-expect-error an unknown word
  runWorkload(url, 1, { settle: 'never' });
  // @ts-expect-error the channel and the outputs are not spawn()'s
  runWorkload(url, 1, { stdio: 'inherit' });

  await using pool = new WorkloadPool({ size: 2, preload: [url], stderr: 'inherit' });
  expectTypeOf(await pool.run<typeof workloads.resize>(url, { path: 'a', width: 1 })).toEqualTypeOf<Uint8Array>();
  // @ts-expect-error how a process is started is the pool's
  pool.run(url, 1, { execPath: 'node' });
}
