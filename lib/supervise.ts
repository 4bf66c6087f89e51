import { setTimeout as pause } from 'node:timers/promises';
import { util } from './builtins.js';
import { channels, type LeaseMessage } from './diagnostics.js';
import type { ProcessGroup } from './process-group.js';
import { spawn } from './spawn.js';
import { LeaseKeeper } from './supervise-lease.js';
import { planSupervision, type SupervisePlan } from './supervise-options.js';
import { callOut, RunOutput } from './supervise-output.js';
import { becomesReady } from './supervise-ready.js';
import { followSignals } from './supervise-signals.js';
import type { Outcome, SignalAction, Supervised, SuperviseOptions, Verdict } from './supervise-types.js';
import type { TeardownCause } from './types.js';

export { httpLost } from './supervise-lease.js';
export type * from './supervise-types.js';

/** How one run ended. */
type RunEnd = Pick<Outcome, 'exit' | 'report' | 'output'> & { verdict: Verdict; error: unknown };

const NOT_STARTED: RunEnd = {
  verdict: { kind: 'start-failed', reason: 'spawn' },
  error: null,
  exit: null,
  report: null,
  output: null,
};

/** Who has these forwarded is asked to end: no other run follows. */
const ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT'];

/**
 * Runs a command under a lease, with restarts, a start deadline and a policy for the signals that this process gets. There is
 * always one outcome and only one: whatever began the teardown decides, and the engine says what that was.
 *
 * Throws for a bad argument, and starts nothing: ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE,
 * ERR_UNKNOWN_SIGNAL, and what spawn() refuses before it starts. A command that cannot be started is an outcome,
 * 'start-failed' with the code of its SpawnError.
 */
export function supervise(file: string, args: readonly string[] = [], options: SuperviseOptions = {}): Supervised {
  return new Supervision(planSupervision(file, args, options));
}

class Supervision implements Supervised {
  group: ProcessGroup | null = null;
  readonly ready: Promise<boolean>;
  readonly outcome: Promise<Outcome>;
  #plan: SupervisePlan;
  #keeper: LeaseKeeper | null = null;
  /** What ends all of it, and the error that led there: the first one counts. */
  #verdict: Verdict | null = null;
  #error: unknown = null;
  /** Whether it began a teardown, or found nothing to tear down: else the report tells what did. */
  #first = false;
  #lastRun = false;
  #leaseOver = false;
  /** Ends a spawn that is pending. */
  #cancel = new AbortController();
  /** Ends the pause before a restart. */
  #hurry = new AbortController();
  #runs = 0;
  #signals: NodeJS.Signals[] = [];
  #unsent = new Set<NodeJS.Signals>();
  #began = performance.now();
  #resolveReady!: (ready: boolean) => void;

  constructor(plan: SupervisePlan) {
    this.#plan = plan;
    this.ready = new Promise((resolve) => {
      this.#resolveReady = resolve;
    });
    this.outcome = this.#supervise();
  }

  stop(): Promise<Outcome> {
    this.#finish({ kind: 'aborted', reason: 'stop' }, null);
    return this.outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #supervise(): Promise<Outcome> {
    const { restart } = this.#plan;
    const release = this.#listen();
    let end: RunEnd;
    for (let streak = 0; ; streak++) {
      const began = performance.now();
      end = await this.#run();
      if (performance.now() - began >= restart.healthyMs) streak = 0;
      if (!this.#again(end, streak)) break;
      const longest = Math.min(restart.backoffMs * 2 ** streak, restart.maxBackoffMs);
      const { signal } = this.#hurry;
      await pause(longest * (1 - restart.jitter * Math.random()), undefined, { signal }).catch(() => {});
      if (this.#keeper?.left() === 0) {
        this.#lose({ kind: 'lease-lost', reason: 'expired' }, this.#keeper.error);
        this.#tell('expired', this.#keeper.error);
      }
      if (this.#verdict !== null) end = { ...end, verdict: this.#verdict, error: this.#error };
      if (this.#verdict !== null || this.#lastRun) break;
    }
    release();
    this.#resolveReady(false);
    const { verdict, error, ...rest } = end;
    const counts = { runs: this.#runs, signals: this.#signals, durationMs: performance.now() - this.#began };
    return { ...verdict, ...rest, error: plain(error), ...counts };
  }

  /** Whether another run follows. One that left survivors has none: they may hold what it needs. */
  #again({ verdict: { kind }, exit, report }: RunEnd, streak: number): boolean {
    const { policy, limit } = this.#plan.restart;
    if (policy === 'never' || streak >= limit || this.#lastRun || report?.empty === false) return false;
    return kind === 'start-failed' || (kind === 'exited' && (policy === 'always' || exit?.code !== 0));
  }

  /** Whatever may end it from outside; the function that it returns takes all of that away. */
  #listen(): () => void {
    const { lease, signals, signalWindowMs, spawn } = this.#plan;
    const aborts: [AbortSignal, () => void][] = [];
    const follow = (signal: AbortSignal, aborted: () => void) => {
      aborts.push([signal, aborted]);
      signal.addEventListener('abort', aborted, { once: true });
      if (signal.aborted) aborted();
    };
    const unfollow = followSignals(signals, signalWindowMs, (...received) => this.#receive(...received));
    if (spawn.signal)
      follow(spawn.signal, () => this.#finish({ kind: 'aborted', reason: 'abort' }, spawn.signal?.reason));
    if (lease instanceof AbortSignal) {
      follow(lease, () => {
        this.#lose({ kind: 'lease-lost', reason: 'aborted' }, lease.reason);
        this.#tell('lost', lease.reason);
      });
    } else if (lease !== null) {
      const context = () => ({ run: this.#runs, pid: this.group?.pid ?? null });
      const keeper = new LeaseKeeper(lease, context, (event, error, beatMs) => {
        if (event === 'renewed') this.group?.renewLease(keeper.left());
        else if (event === 'failed') this.#lose({ kind: 'heartbeat-failed', reason: 'missed' }, error);
        else if (event !== 'missed') this.#lose({ kind: 'lease-lost', reason: event }, error);
        this.#tell(event === 'refused' ? 'lost' : event, error, beatMs);
      });
      this.#keeper = keeper;
      if (this.#verdict === null) queueMicrotask(() => keeper.beat());
    }
    return () => {
      this.#keeper?.end();
      unfollow();
      for (const [signal, aborted] of aborts) signal.removeEventListener('abort', aborted);
    };
  }

  #finish(verdict: Verdict, error: unknown, first = true): void {
    if (this.#verdict !== null) return;
    this.#verdict = verdict;
    this.#error = error;
    this.#first = first;
    this.#keeper?.end();
    this.#hurry.abort();
    if (verdict.reason === 'abort' || this.group === null) this.#cancel.abort(error ?? undefined);
    else if (verdict.kind === 'aborted') void this.group.stop();
  }

  /** The engine says whether this comes first: the lease may have run out, or a timeout passed, a moment ago. */
  #lose(verdict: Verdict, error: unknown): void {
    this.#finish(verdict, error, this.group === null || this.group.renewLease(0));
  }

  /** The lease's last word is told once: the engine may know before a beat does. */
  #tell(event: LeaseMessage['event'], error: unknown, beatMs: number | null = null): void {
    if (this.#leaseOver) return;
    this.#leaseOver = event !== 'renewed' && event !== 'missed';
    if (!channels.lease.hasSubscribers) return;
    channels.lease.publish({ group: this.group, event, misses: this.#keeper?.misses ?? 0, beatMs, error });
  }

  #receive(name: NodeJS.Signals, action: SignalAction, again: boolean): void {
    this.#signals.push(name);
    if (action !== 'forward' || ENDING.includes(name)) {
      this.#lastRun = true;
      this.#hurry.abort();
    }
    const kill = again && action !== 'forward' && this.#plan.signalRepeat === 'kill';
    if (action === 'teardown' || kill) this.#finish({ kind: 'aborted', reason: 'signal' }, null);
    if (kill) void this.group?.kill();
    if (action === 'forward') this.#forward(name);
  }

  #forward(name: NodeJS.Signals): void {
    try {
      if (this.group !== null) this.group.signal(name);
      else if (ENDING.includes(name)) this.#unsent.add(name);
    } catch (error) {
      process.emitWarning(error as Error); // EPERM: the report will name them
    }
  }

  async #run(): Promise<RunEnd> {
    const { file, args, spawn: options, ready, startTimeoutMs, onLine, onRun, output: way, tailChars } = this.#plan;
    const run = ++this.#runs;
    const end: RunEnd = { ...NOT_STARTED };
    let failure: Verdict | null = null;
    let isReady = false;
    const cancel = new AbortController();
    this.#cancel = cancel;
    const over = new AbortController();
    if (this.#verdict !== null) return { ...end, verdict: this.#verdict, error: this.#error };
    const late = () => {
      if (isReady || this.#verdict !== null || over.signal.aborted) return;
      failure = { kind: 'start-failed', reason: 'deadline' };
      if (this.group === null) cancel.abort();
      else void this.group.stop();
    };
    // After a look at what has arrived: where JavaScript was blocked, the line may be waiting behind this timer.
    const deadline = setTimeout(() => setImmediate(late), startTimeoutMs);
    try {
      const lease = this.#keeper && { leaseMs: Math.max(1, this.#keeper.left()) };
      const group: ProcessGroup = await spawn(file, args, { ...options, signal: cancel.signal, ...lease });
      this.group = group;
      if (this.#keeper) group.renewLease(this.#keeper.left()); // a beat may have been good meanwhile
      const output = way === 'tail' ? new RunOutput(group, tailChars) : null;
      if (onLine) output?.listeners.add(onLine);
      for (const name of this.#unsent) this.#forward(name);
      if (onRun) callOut(() => onRun(group, run));
      const becameReady = (yes: boolean) => {
        isReady ||= yes;
        if (yes) this.#resolveReady(true);
      };
      const why = (error: unknown) => {
        end.error = error;
      };
      if (ready === null) {
        clearTimeout(deadline);
        becameReady(true);
      } else void becomesReady(ready, output, over.signal, why).then(becameReady);
      const exited = group.exited.then((exit) => {
        end.exit = exit;
      });
      await Promise.race([exited, group.gone]);
      const ownEnd = group.state === 'leader-exited';
      end.report = await group.stop();
      if (output !== null) end.output = output.result(end.exit !== null && (await group.closed).truncated);
      end.verdict = this.#judge(end.report.cause, ownEnd, failure, isReady);
      if (end.verdict.kind === 'lease-lost') this.#tell('expired', this.#keeper?.error); // by the engine's clock
    } catch (error) {
      end.error = error;
      end.verdict = this.#verdict ?? failure ?? end.verdict;
    }
    this.group = null;
    over.abort();
    clearTimeout(deadline);
    if (end.verdict === this.#verdict) end.error = this.#error;
    else if (end.verdict.kind === 'lease-lost') end.error = this.#keeper?.error;
    else if (end.verdict.kind !== 'start-failed') end.error = null;
    return end;
  }

  /** What began the teardown decides. `ownEnd`: the leader had ended before, and stop() was for the rest of its group. */
  #judge(cause: TeardownCause | null, ownEnd: boolean, failure: Verdict | null, isReady: boolean): Verdict {
    const own = this.#first ? this.#verdict : null;
    if (cause === 'lease')
      return own !== null && own.kind !== 'aborted' ? own : { kind: 'lease-lost', reason: 'expired' };
    if (cause === 'timeout') return { kind: 'timeout', reason: 'timeout' };
    if (cause === 'abort' || cause === 'dispose' || (cause === 'stop' && !ownEnd))
      return failure ?? own ?? { kind: 'aborted', reason: 'stop' };
    return isReady ? { kind: 'exited', reason: 'exit' } : { kind: 'start-failed', reason: 'ended' };
  }
}

/** An error as data, whatever a getter or an inspect function of a user's does. */
function plain(error: unknown): Outcome['error'] {
  if (error === null || error === undefined) return null;
  try {
    if (!(error instanceof Error)) return { name: typeof error, message: util().inspect(error) };
    const { name, message, code } = error as NodeJS.ErrnoException;
    return { name, message, ...(typeof code === 'string' && { code }) };
  } catch {
    return { name: typeof error, message: '[unreadable]' };
  }
}
