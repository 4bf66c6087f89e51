import type { ProcessGroup } from './process-group.js';
import type { ExitResult, FileStdio, SpawnOptions, TeardownReport } from './types.js';

/** What a beat is told. */
export interface BeatContext {
  /** Which run of the command this is, from 1. */
  run: number;
  /** Its leader's pid, or null between two runs. */
  pid: number | null;
  /** Misses in a row up to now. */
  misses: number;
}

/** A lease that has to be renewed, and what happens where it is not. */
export interface LeaseOptions {
  /**
   * Renews the lease where it is kept, at once and then every intervalMs. A beat that rejects, fulfils with false or with an
   * object whose `ok` is false (a Response of fetch), or has not settled after timeoutMs is a miss; any other is good.
   * `signal` aborts at that time, and when the supervision ends.
   */
  beat: (context: BeatContext, signal: AbortSignal) => unknown;
  /**
   * Milliseconds that the lease is good for, from the start of the last good beat, at first from the call. The engine's
   * thread keeps this deadline, also while JavaScript is blocked. Infinity: none.
   */
  leaseMs: number;
  /** Milliseconds from the start of one beat to the next; they do not overlap (default: a third of leaseMs). */
  intervalMs?: number;
  /** Milliseconds until a beat that has not settled counts as missed (default: half of intervalMs). */
  timeoutMs?: number;
  /** Misses in a row that are forgiven; one more ends it, as 'heartbeat-failed' (default 1). */
  forgivenMisses?: number;
  /** Whether what a beat fulfilled with, or rejected with, says that the lease is lost (default httpLost). */
  lost?: (answer: unknown) => boolean;
}

/** After which ends another run follows, and how soon. */
export interface RestartOptions {
  /** 'on-failure': after a code other than 0, a signal, a start that failed. 'always': after any end of its own. Default 'never'. */
  policy?: 'never' | 'on-failure' | 'always';
  /** Restarts in a row at most (default 5). */
  limit?: number;
  /** Milliseconds that a run has to last for the next restart to count as the first one (default 10,000). */
  healthyMs?: number;
  /** Milliseconds before the first restart (default 500), doubled with each one in a row up to maxBackoffMs (default 30,000). */
  backoffMs?: number;
  /** Milliseconds that the doubling stops at (default 30,000). */
  maxBackoffMs?: number;
  /** The part of the pause, 0 to 1, that chance may take away (default 0.5). */
  jitter?: number;
}

/** A line of stdout or stderr that has or matches it; a TCP port that accepts (host 127.0.0.1); a function that answers true. */
export type Readiness =
  | { line: string | RegExp }
  | { port: number; host?: string; intervalMs?: number }
  | {
      /** Called until it answers true. The signal aborts where that does not matter any more. */
      check: (signal: AbortSignal) => unknown;
      intervalMs?: number;
    };

/** 'forward': to the group. 'drain': this run is the last, its end is waited for. 'teardown': the ladder. */
export type SignalAction = 'forward' | 'drain' | 'teardown';

/** What supervise() takes: the options of spawn() that fit, and its own. */
export interface SuperviseOptions extends Omit<SpawnOptions, 'stdio' | 'lifetime' | 'leaseMs'> {
  /** What the command may run under: a heartbeat, or a signal that aborts when the lease is lost. */
  lease?: LeaseOptions | AbortSignal;
  /** Whether and when the command is started again (default: never). */
  restart?: RestartOptions;
  /** When it counts as ready (default: at once, after exec). */
  ready?: Readiness;
  /** Milliseconds that a run has for its exec and for becoming ready (default 30,000), before it is torn down. */
  startTimeoutMs?: number;
  /** What signals to this process lead to. Others get no handler; the handlers go with the supervision. Main thread only. */
  signals?: { [S in NodeJS.Signals]?: SignalAction };
  /** Milliseconds in which the same signal is one delivery, to our group and then to us (default 250). */
  signalWindowMs?: number;
  /** What a later one means under 'drain' and 'teardown': nothing (default), or SIGKILL now. */
  signalRepeat?: 'ignore' | 'kill';
  /** Default 'ignore'. */
  stdin?: 'ignore' | 'inherit' | number | FileStdio;
  /** 'tail' (default): the end of each stream is kept for the outcome. 'streams': they are onRun's to read. */
  output?: 'tail' | 'streams' | 'inherit' | 'ignore';
  /** Characters kept of each stream (default 65,536). */
  tailChars?: number;
  /** Under 'tail': each line, without its end. One of more than 65,536 characters comes in pieces. */
  onLine?: (line: string, source: 'stdout' | 'stderr') => void;
  /** Each run that was started: its handle, and its number from 1. */
  onRun?: (group: ProcessGroup, run: number) => void;
}

/**
 * What ended it, and why. 'refused': `lost` said so; 'expired': leaseMs passed; 'aborted': the lease's AbortSignal. 'stop':
 * stop(), or a run's handle; 'abort': options.signal; 'signal': one whose action is 'teardown'. 'spawn': it could not be
 * started; 'deadline': it was not ready in time; 'ended': it ended before it was ready.
 */
export type Verdict =
  | { kind: 'exited'; reason: 'exit' }
  | { kind: 'lease-lost'; reason: 'refused' | 'expired' | 'aborted' }
  | { kind: 'heartbeat-failed'; reason: 'missed' }
  | { kind: 'timeout'; reason: 'timeout' }
  | { kind: 'aborted'; reason: 'stop' | 'abort' | 'signal' }
  | { kind: 'start-failed'; reason: 'spawn' | 'deadline' | 'ended' };

/** Plain data: JSON keeps all of it. */
export type Outcome = Verdict & {
  /** How the last run's leader ended; null where none was started, or it survived. */
  exit: ExitResult | null;
  /** The last run's teardown; null where none was started. */
  report: TeardownReport | null;
  /** What the heartbeat, the readiness check or spawn() said last, or the reason of an abort. */
  error: { name: string; message: string; code?: string } | null;
  runs: number;
  /** Signals to this process that were acted upon. */
  signals: NodeJS.Signals[];
  /** The last run's, under 'tail'. Truncated where there was more, or a pipe was cut. */
  output: { stdout: string; stderr: string; truncated: boolean } | null;
  durationMs: number;
};

/** A supervised command. Its promises only ever resolve. */
export interface Supervised extends AsyncDisposable {
  /** The handle of the present run, null between two. */
  readonly group: ProcessGroup | null;
  /** True once a run is ready (without `ready`: started), false where it all ended before. */
  readonly ready: Promise<boolean>;
  readonly outcome: Promise<Outcome>;
  /** Tears it down, and gives the outcome. */
  stop(): Promise<Outcome>;
}
