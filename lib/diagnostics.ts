import type { Channel, TracingChannel } from 'node:diagnostics_channel';
import { diagnosticsChannel } from './builtins.js';
import type { ProcessGroupError } from './errors.js';
import type { ProcessGroup } from './process-group.js';
import type { ProcessScope, ScopeReport } from './scope.js';
import type { Containment, ExitResult, Isolation, SignalTarget, TeardownCause, TeardownReport } from './types.js';

/**
 * `tracing:procgroup:spawn:*`. One object is given to all events of one spawn(): `start` and `end` when it is handed to the
 * engine, `asyncStart` and `asyncEnd` when it settles, `error` before them where it fails. A call whose arguments are
 * refused is no spawn. The environment is left out: it is where secrets are.
 */
export interface SpawnMessage {
  /** The program, as it is looked up; the shell's where options.shell is given. */
  readonly file: string;
  /** Its words, argv[0] first. They may hold secrets. */
  readonly argv: readonly string[];
  /** Null: the working directory of this process. */
  readonly cwd: string | null;
  readonly isolation: Isolation;
  readonly containment: Containment;
  /** From `asyncStart` on, where it succeeded: the handle, or a child of procgroup/child_process. */
  result?: ProcessGroup | SpawnedChild;
  /** From `error` on: a SpawnError, or an AbortError. */
  error?: Error;
}

/**
 * A child of procgroup/child_process, as the channel of spawns tells of it; `child` is what no ProcessGroup has. Its exit and
 * its signals are events of its own, so that the other channels do not tell of them.
 */
export interface SpawnedChild {
  readonly child: import('node:child_process').ChildProcess;
  readonly pid: number;
  /** Resolves when what its containment covers is gone. Keeps no loop alive. */
  readonly gone: Promise<TeardownReport>;
  /** Enters the teardown of what its containment covers, and resolves with the report. The same promise at every call. */
  stop(): Promise<TeardownReport>;
}

/** `procgroup:exit`: the leader has ended. */
export interface ExitMessage {
  readonly group: ProcessGroup;
  readonly exit: ExitResult;
}

/** `procgroup:signal`: signal() was called on a handle. The signals of a teardown are in its report instead. */
export interface SignalMessage {
  readonly group: ProcessGroup;
  readonly signal: NodeJS.Signals;
  /** Who got it, or null where nobody could be signalled. */
  readonly target: SignalTarget | null;
  /** What signal() throws, or null. */
  readonly error: ProcessGroupError | null;
}

/**
 * `tracing:procgroup:teardown:*`. `start` and `end` when the ladder is entered, `asyncStart` and `asyncEnd` when the group is
 * empty or survivors remain: those are data in `result`, so there is no `error`. A teardown that the end of the Node process
 * begins is not told: JavaScript does not run any more.
 */
export interface TeardownMessage {
  readonly group: ProcessGroup;
  /** What entered it, as far as this thread knew at the start; `result.cause` is what held. */
  readonly cause: TeardownCause | null;
  /** From `asyncStart` on. */
  result?: TeardownReport;
  error?: never;
}

/** `tracing:procgroup:adopt:*`: attach() to a group that somebody else started. */
export interface AdoptMessage {
  readonly pgid: number;
  result?: ProcessGroup;
  error?: Error;
}

/** `procgroup:lease`: what became of one beat of a lease, or of the lease itself. Published by procgroup/supervise. */
export interface LeaseMessage {
  /** What the lease is about; null where it is between two starts. */
  readonly group: ProcessGroup | null;
  /**
   * 'renewed': a good beat. 'missed': a bad one, forgiven. 'lost': the lease was taken away, and the teardown begins. 'failed':
   * one miss more than is forgiven, and the teardown begins. 'expired': the native deadline passed first.
   */
  readonly event: 'renewed' | 'missed' | 'lost' | 'failed' | 'expired';
  /** Misses in a row, this one included. */
  readonly misses: number;
  /** Milliseconds that the beat took; null where no beat was under way. */
  readonly beatMs: number | null;
  /** What the beat threw, or the reason of the signal that ended the lease; null for a good beat. */
  readonly error: unknown;
}

/** `procgroup:scope`: a ProcessScope has ended. Published by procgroup/scope. */
export interface ScopeMessage {
  readonly scope: ProcessScope;
  readonly report: ScopeReport;
}

/** A channel of node:diagnostics_channel whose messages have a type. */
export interface EventChannel<M> extends Omit<Channel<unknown, M>, 'publish' | 'subscribe' | 'unsubscribe'> {
  /** Calls every subscriber, in this turn. */
  publish(message: M): void;
  /** Subscribers are called in the order in which they came. */
  subscribe(onMessage: (message: M, name: string | symbol) => void): void;
  /** False where `onMessage` was not subscribed. */
  unsubscribe(onMessage: (message: M, name: string | symbol) => void): boolean;
}

/** A TracingChannel of node:diagnostics_channel whose messages have a type. Any of its five events may be listened to alone. */
export interface OperationChannel<M extends object>
  extends Pick<TracingChannel<unknown, M>, 'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error'> {
  /** Whether anybody listens to any of the five. */
  readonly hasSubscribers: boolean;
  /** Listens to the events that are given. */
  subscribe(subscribers: OperationSubscribers<M>): void;
  /** Takes the same functions. False where one of them was not subscribed. */
  unsubscribe(subscribers: OperationSubscribers<M>): boolean;
}

/** Functions by event. Each is called with the operation's one message, filled as far as it is known by then. */
export type OperationSubscribers<M> = {
  [event in 'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error']?: (message: M) => void;
};

/** The channels, by what they tell. Each can be had by its name from node:diagnostics_channel as well. */
export interface Channels {
  /** `tracing:procgroup:spawn:*`, see {@link SpawnMessage}. */
  readonly spawn: OperationChannel<SpawnMessage>;
  /** `procgroup:exit`, see {@link ExitMessage}. */
  readonly exit: EventChannel<ExitMessage>;
  /** `procgroup:signal`, see {@link SignalMessage}. */
  readonly signal: EventChannel<SignalMessage>;
  /** `tracing:procgroup:teardown:*`, see {@link TeardownMessage}. */
  readonly teardown: OperationChannel<TeardownMessage>;
  /** `tracing:procgroup:adopt:*`, see {@link AdoptMessage}. */
  readonly adopt: OperationChannel<AdoptMessage>;
  /** `procgroup:lease`, see {@link LeaseMessage}. */
  readonly lease: EventChannel<LeaseMessage>;
  /** `procgroup:scope`, see {@link ScopeMessage}. */
  readonly scope: EventChannel<ScopeMessage>;
}

const made: { -readonly [name in keyof Channels]?: Channels[name] } = {};
const operation = <M extends object>(name: string) =>
  diagnosticsChannel().tracingChannel(`procgroup:${name}`) as unknown as OperationChannel<M>;
const plain = <M>(name: string) => diagnosticsChannel().channel(`procgroup:${name}`) as unknown as EventChannel<M>;

/**
 * What this package tells through node:diagnostics_channel, in the thread that spawned; docs/diagnostics.md describes each.
 * A message is built only where somebody listens. What a subscriber throws becomes an uncaught exception in a later tick, as
 * with every channel of Node; the group does not notice.
 */
export const channels: Channels = Object.freeze({
  get spawn() {
    made.spawn ??= operation<SpawnMessage>('spawn');
    return made.spawn;
  },
  get exit() {
    made.exit ??= plain<ExitMessage>('exit');
    return made.exit;
  },
  get signal() {
    made.signal ??= plain<SignalMessage>('signal');
    return made.signal;
  },
  get teardown() {
    made.teardown ??= operation<TeardownMessage>('teardown');
    return made.teardown;
  },
  get adopt() {
    made.adopt ??= operation<AdoptMessage>('adopt');
    return made.adopt;
  },
  get lease() {
    made.lease ??= plain<LeaseMessage>('lease');
    return made.lease;
  },
  get scope() {
    made.scope ??= plain<ScopeMessage>('scope');
    return made.scope;
  },
});

/**
 * @internal One operation of a tracing channel that is settled by a row of the engine. tracePromise() would settle it in a
 * microtask: behind what the same batch of rows tells, so that an exit could come before its spawn.
 */
export class Trace<M extends { result?: unknown; error?: Error }> {
  #channel: OperationChannel<M>;
  #message: M;

  constructor(operations: OperationChannel<M>, message: M) {
    this.#channel = operations;
    this.#message = message;
  }

  /** Runs what begins the operation between `start` and `end`, in the stores that are bound to `start`. */
  run<T>(begin: () => T): T {
    const { start, end } = this.#channel;
    return start.runStores(this.#message, () => {
      try {
        const result = begin();
        end.publish(this.#message);
        return result;
      } catch (thrown) {
        end.publish(this.#message);
        this.fail(thrown as Error);
        throw thrown;
      }
    });
  }

  succeed(result: Exclude<M['result'], undefined>): void {
    this.#message.result = result;
    this.#settle();
  }

  fail(error: Error): void {
    this.#message.error = error;
    this.#channel.error.publish(this.#message);
    this.#settle();
  }

  #settle(): void {
    this.#channel.asyncStart.publish(this.#message);
    this.#channel.asyncEnd.publish(this.#message);
  }
}
