import { ProcessGroupError } from './errors.js';
import { type NamesOf, onlyKnown, SPAWN_NAMES } from './known-options.js';
import type { ProcessGroup } from './process-group.js';
import { ProcessScope } from './scope.js';
import type { ExitResult, Spawned, SpawnOptions, StdioOption } from './types.js';
import {
  bare,
  duration,
  instance,
  invalidType,
  invalidValue,
  path,
  record,
  snapshotOptions,
  text,
} from './validate.js';

/** As for spawn(). A helper belongs to no single user: neither an abort nor release() is one of its ends. */
export interface HelperSpawnOptions<S extends StdioOption = StdioOption>
  extends Omit<SpawnOptions<S>, 'signal' | 'lifetime'> {}

/** What is started under a key, and when it counts as ready and as idle. */
export interface HelperDefinition<S extends StdioOption = StdioOption, T = unknown> {
  file: string;
  args?: readonly string[];
  /** Defaults: containment 'tree', teardown [{ signal: 'SIGTERM', graceMs: 500 }]. */
  spawn?: HelperSpawnOptions<S>;
  /**
   * Waits until the helper can be used, and gives what its users get (default: the handle, at once). `signal` fires when the
   * helper ends, also later. A piped output that nobody listens to afterwards is read and dropped.
   */
  ready?: (group: Spawned<S>, signal: AbortSignal) => T | PromiseLike<T>;
  /** Milliseconds that it lives on without a user (default 30,000). */
  idleMs?: number;
  /** Milliseconds from exec until `ready` must have settled (default 10,000). */
  startMs?: number;
  /** Milliseconds before the start that follows a failed one or a crash, doubled each time, half of them at random (default 100). */
  backoffMs?: number;
  /** The longest back-off (default 10,000). A helper that has lived for so long was healthy: the next one starts at once. */
  maxBackoffMs?: number;
  /** The scope that it ends with, at the latest (default: this process, or worker thread). */
  owner?: ProcessScope | undefined;
}

/**
 * ERR_HELPER_CONFLICT; ERR_HELPER_CLOSED; ERR_HELPER_DIED, with `exit`; ERR_HELPER_START: not ready in time, or `ready` failed (its
 * error is the `cause`), or the process ended before (with `exit`).
 */
export class HelperError extends ProcessGroupError {
  readonly key: string;
  /** How the process ended. */
  declare readonly exit?: ExitResult;

  constructor(
    key: string,
    code: string,
    message: string,
    { exit, ...options }: ErrorOptions & { exit?: ExitResult } = {},
  ) {
    super(`helper '${key}' ${message}`, { code, stage: 'helper' }, options);
    this.key = key;
    if (exit !== undefined) this.exit = exit;
  }

  static {
    HelperError.prototype.name = 'HelperError';
  }
}

/** The right to use a helper, which lives while a lease is held, unless it crashes. For `using`, or release(). */
export interface HelperLease<T> extends Disposable {
  /** What `ready` gave. */
  readonly value: T;
  readonly group: ProcessGroup;
  /** Fires when the helper ends under the lease; its reason is a HelperError. */
  readonly signal: AbortSignal;
  /** Any call but the first does nothing. */
  release(): void;
}

/** @internal */
export type Plan<T> = Required<HelperDefinition<StdioOption, T>>;

const NAMES: NamesOf<HelperDefinition> = {
  file: true,
  args: true,
  spawn: true,
  ready: true,
  idleMs: true,
  startMs: true,
  backoffMs: true,
  maxBackoffMs: true,
  owner: true,
};

/** @internal Everything that can be refused is refused here. */
export function planHelper<T>(definition: HelperDefinition<StdioOption, T>): Plan<T> {
  const given = record('definition', definition) as unknown as HelperDefinition<StdioOption, T>;
  onlyKnown('definition', given, NAMES);
  const { file, args = [], ready, owner, spawn = {}, idleMs, startMs, backoffMs, maxBackoffMs } = given;
  const options: SpawnOptions = snapshotOptions(record('definition.spawn', spawn));
  onlyKnown('definition.spawn', options, SPAWN_NAMES);
  if (!Array.isArray(args)) throw invalidType('definition.args', 'an instance of Array', args);
  if (ready !== undefined && typeof ready !== 'function')
    throw invalidType('definition.ready', 'of type function', ready);
  instance('definition.owner', owner, ProcessScope);
  if (owner?.signal.aborted) throw owner.signal.reason;
  for (const name of ['signal', 'lifetime'] as const) {
    if (options[name] !== undefined)
      throw invalidValue(`definition.spawn.${name}`, 'is not for a helper', options[name]);
  }
  return {
    file: path('definition.file', file),
    args: args.map((word, i) => text(`definition.args[${i}]`, word)),
    spawn: bare({ containment: 'tree', teardown: [{ signal: 'SIGTERM', graceMs: 500 }], ...options }),
    ready: ready ?? justStarted,
    idleMs: duration('definition.idleMs', idleMs, 30_000),
    startMs: duration('definition.startMs', startMs, 10_000),
    backoffMs: duration('definition.backoffMs', backoffMs, 100),
    maxBackoffMs: duration('definition.maxBackoffMs', maxBackoffMs, 10_000),
    owner,
  };
}

const justStarted = (group: unknown) => group as never;
