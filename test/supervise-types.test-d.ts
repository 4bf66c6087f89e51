// Checked by the compiler alone (npm run types): an outcome narrows by its kind, and a policy is one of its words.
import { expectTypeOf } from 'vitest';
import type { ExitResult, ProcessGroup, TeardownReport } from '../dist/index.js';
import { type BeatContext, httpLost, type Outcome, type Supervised, supervise } from '../dist/supervise.js';

export function lease(group: ProcessGroup): void {
  expectTypeOf(group.renewLease(1_000)).toEqualTypeOf<boolean>();
  // @ts-expect-error Infinity takes it away
  group.renewLease(null);
}

export async function outcome(): Promise<number> {
  const task = supervise('true');
  expectTypeOf(task).toEqualTypeOf<Supervised>();
  expectTypeOf(task.ready).toEqualTypeOf<Promise<boolean>>();
  expectTypeOf(task.group).toEqualTypeOf<ProcessGroup | null>();
  expectTypeOf(task.stop()).toEqualTypeOf<Promise<Outcome>>();
  expectTypeOf(task[Symbol.asyncDispose]()).toEqualTypeOf<PromiseLike<void>>();
  const end = await task.outcome;
  expectTypeOf(end.exit).toEqualTypeOf<ExitResult | null>();
  expectTypeOf(end.report).toEqualTypeOf<TeardownReport | null>();
  expectTypeOf(end.signals).toEqualTypeOf<NodeJS.Signals[]>();
  if (end.kind === 'lease-lost') expectTypeOf(end.reason).toEqualTypeOf<'refused' | 'expired' | 'aborted'>();
  // Every kind is named.
  switch (end.kind) {
    case 'exited':
      return 0;
    case 'lease-lost':
    case 'heartbeat-failed':
    case 'timeout':
    case 'aborted':
    case 'start-failed':
      return 1;
  }
}

export function options(lease: AbortSignal): void {
  supervise('true', ['x'], { lease, cwd: '/', teardown: [{ signal: 'SIGTERM', graceMs: 1 }] });
  supervise('true', [], {
    lease: {
      leaseMs: 1_000,
      beat: (context, signal) => {
        expectTypeOf(context).toEqualTypeOf<BeatContext>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      },
    },
  });
  supervise('true', [], { lease: { leaseMs: 1_000, beat: async () => fetch('http://localhost'), lost: httpLost } });
  supervise('true', [], { ready: { line: /x/ }, signals: { SIGTERM: 'forward', SIGINT: 'teardown', SIGHUP: 'drain' } });
  supervise('true', [], { ready: { check: async (signal) => signal.aborted, intervalMs: 1 } });
  supervise('true', [], {
    onRun: (group, run) => {
      expectTypeOf(group).toEqualTypeOf<ProcessGroup>();
      expectTypeOf(run).toEqualTypeOf<number>();
    },
    onLine: (line, source) => {
      expectTypeOf(line).toEqualTypeOf<string>();
      expectTypeOf(source).toEqualTypeOf<'stdout' | 'stderr'>();
    },
  });
  // @ts-expect-error a lease has its time
  supervise('true', [], { lease: { beat: () => true } });
  // @ts-expect-error an unknown policy
  supervise('true', [], { restart: { policy: 'sometimes' } });
  // @ts-expect-error an unknown action
  supervise('true', [], { signals: { SIGTERM: 'ignore' } });
  // @ts-expect-error an unknown signal
  supervise('true', [], { signals: { SIGNONE: 'drain' } });
  // @ts-expect-error output and stdin say what stdio is
  supervise('true', [], { stdio: 'pipe' });
  // @ts-expect-error a pipe would have no writer after a restart
  supervise('true', [], { stdin: 'pipe' });
}
