// Checked by the compiler alone (npm run types): what scopes and shared helpers give follows from what they are given.
import type { Readable, Writable } from 'node:stream';
import { expectTypeOf } from 'vitest';
import { type HelperInfo, helpers, reportOn, type SharedHelper, sharedHelper } from '../dist/helper.js';
import {
  attach,
  type ProcessGroup,
  type Spawned,
  type SpawnOptions,
  spawn,
  type TeardownReport,
} from '../dist/index.js';
import { ProcessScope, type ScopeReport } from '../dist/scope.js';

export async function scopes(someOptions: SpawnOptions): Promise<void> {
  await using scope = new ProcessScope({ order: 'reverse', teardown: [{ signal: 'SIGINT', graceMs: 1 }] });
  expectTypeOf((await scope.spawn('true')).stdout).toEqualTypeOf<Readable>();
  expectTypeOf((await scope.spawn('true', { stdio: 'pipe' })).stdin).toEqualTypeOf<Writable>();
  expectTypeOf((await scope.spawn('true', ['x'], { stdio: ['pipe', 'ignore'] })).stdout).toEqualTypeOf<null>();
  expectTypeOf((await scope.spawn('true', [], someOptions)).stdout).toEqualTypeOf<Readable | null>();
  expectTypeOf(scope.adopt(await spawn('true', [], { stdio: 'pipe' })).stdin).toEqualTypeOf<Writable>();
  expectTypeOf(scope.adopt(await attach(2))).toExtend<ProcessGroup>();
  expectTypeOf(scope.end()).toEqualTypeOf<Promise<ScopeReport>>();
  expectTypeOf(scope.report).toEqualTypeOf<ScopeReport | undefined>();
  expectTypeOf<ScopeReport['groups'][number]['report']>().toEqualTypeOf<TeardownReport>();
  expectTypeOf(ProcessScope.run(async (inner) => inner.name.length, { parent: scope })).toEqualTypeOf<
    Promise<number>
  >();
  expectTypeOf(ProcessScope.run(() => 'x')).toEqualTypeOf<Promise<string>>();
  // @ts-expect-error an unknown order
  new ProcessScope({ order: 'forward' });
  // @ts-expect-error no handle
  scope.adopt({});
  // @ts-expect-error no body
  ProcessScope.run();
}

export async function shared(): Promise<void> {
  const plain = sharedHelper('plain', { file: 'true' });
  expectTypeOf((await plain.acquire()).value.stdout).toEqualTypeOf<Readable>();

  const typed = sharedHelper('typed', {
    file: 'true',
    args: ['x'],
    spawn: { cwd: new URL('file:///'), stdio: ['pipe', 'pipe', 'inherit'] },
    ready: async (group, signal) => {
      expectTypeOf(group).toEqualTypeOf<Spawned<readonly ['pipe', 'pipe', 'inherit']>>();
      expectTypeOf(group.stdin).toEqualTypeOf<Writable>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      return { port: 1 };
    },
  });
  expectTypeOf(typed).toEqualTypeOf<SharedHelper<{ port: number }>>();
  {
    using lease = await typed.acquire({ signal: AbortSignal.timeout(1) });
    expectTypeOf(lease.value).toEqualTypeOf<{ port: number }>();
  }
  expectTypeOf(typed.use(({ port }) => port)).toEqualTypeOf<Promise<number>>();
  expectTypeOf(typed.use(async ({ port }, signal) => [port, signal.aborted] as const)).toEqualTypeOf<
    Promise<readonly [number, boolean]>
  >();
  expectTypeOf(typed.close()).toEqualTypeOf<Promise<void>>();
  expectTypeOf(helpers()).toEqualTypeOf<HelperInfo[]>();
  expectTypeOf(reportOn('SIGUSR1')).toEqualTypeOf<() => void>();

  // @ts-expect-error a helper has no user whose abort could end it
  sharedHelper('x', { file: 'true', spawn: { signal: AbortSignal.abort() } });
  // @ts-expect-error nor is it released
  sharedHelper('x', { file: 'true', spawn: { lifetime: 'releasable' } });
  // @ts-expect-error it needs a file
  sharedHelper('x', {});
  // @ts-expect-error an unknown option
  sharedHelper('x', { file: 'true', idle: 5 });
  // @ts-expect-error no signal of that kind
  reportOn('SIGTERM');
}
