// What the channels of lib/diagnostics.ts are told of children of the drop-in.
import { channels, type SpawnMessage, Trace } from '../diagnostics.js';
import { SpawnError } from '../errors.js';
import { errorName, stageName } from '../native.js';
import type { TeardownReport } from '../types.js';
import type { HandleRequest } from './node-shape.js';
import type { HandlePlan } from './plan.js';
import type { StoppableChild } from './types.js';

export function traceOf(request: HandleRequest, plan: HandlePlan): Trace<SpawnMessage> | undefined {
  if (!channels.spawn.hasSubscribers) return undefined;
  const { file, args, cwd } = request;
  const { isolation, containment } = plan;
  const argv = Array.isArray(args) ? args.map((word) => `${word}`) : [];
  return new Trace(channels.spawn, { file, argv, cwd: cwd || null, isolation, containment });
}

// In a later tick: by then ChildProcess has finished the object, and has not yet told anybody.
export function tellStarted(
  trace: Trace<SpawnMessage>,
  child: StoppableChild,
  pid: number,
  gone: Promise<TeardownReport>,
): void {
  process.nextTick(() => trace.succeed({ child, pid, gone, stop: () => child.stop() }));
}

export function tellFailed(trace: Trace<SpawnMessage>, file: string, errno: number, stage: number): void {
  const code = errorName(errno);
  const fields = { code, errno, syscall: `spawn ${file}`, stage: stageName(stage), path: file };
  process.nextTick(() => trace.fail(new SpawnError(`spawn ${file} ${code}`, fields)));
}
