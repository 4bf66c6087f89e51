import type { Readable, Writable } from 'node:stream';
import { channels, type TeardownMessage, Trace } from './diagnostics.js';
import { ProcessGroupError } from './errors.js';
import { Handle } from './handle.js';
import type { Placement } from './handle-ticket.js';
import { dropTicket, engine, hold, letGo, Row, type RowView } from './native.js';
import { onAbort } from './on-abort.js';
import {
  causeNumber,
  readCause,
  readExit,
  readReport,
  readTarget,
  signalRefused,
  unknownExit,
  warnOfSurvivors,
} from './report.js';
import { signalName, signalNumber } from './signals.js';
import { StateNotices } from './state-notices.js';
import type { ChildStreams } from './streams.js';
import type {
  ClosedResult,
  ExitResult,
  GroupState,
  Member,
  SignalTarget,
  StateChange,
  TeardownCause,
  TeardownReport,
} from './types.js';
import { duration, invalidType } from './validate.js';

/**
 * A process group that this process started, or attached to. `exited`, `closed` and `gone` only ever resolve, and replay
 * to whoever asks late. A handle keeps the event loop alive until its group is gone, unless unref() was called.
 */
export class ProcessGroup<
    In extends Writable | null = Writable | null,
    Out extends Readable | null = Readable | null,
    Err extends Readable | null = Readable | null,
  >
  extends Handle<In, Out, Err>
  implements AsyncDisposable
{
  /** The leader's end. A non-zero code is data, not an error. */
  readonly exited: Promise<ExitResult>;
  /** The end of the leader's output: at once where nothing is piped, else when the pipes end, or are cut after drainMs. */
  readonly closed: Promise<ClosedResult>;
  /** The group is empty, or its teardown ended with survivors. */
  readonly gone: Promise<TeardownReport>;

  #id: number;
  #ticket: number;
  #streams: ChildStreams | null;
  #releasable: boolean;
  #attached: boolean;
  #released = false;
  #holding = true;
  #state: GroupState = 'running';
  #report: TeardownReport | undefined;
  #notices = new StateNotices();
  #trace: Trace<TeardownMessage> | undefined;
  #watchingStops = false;
  #unfollow = () => {};
  #listWaiters: ((members: Member[]) => void)[] = [];
  #resolveExited!: (result: ExitResult) => void;
  #resolveGone!: (report: TeardownReport) => void;

  /** @internal */
  constructor(placement: Placement, ticket: number) {
    super(placement);
    this.#id = placement.id;
    this.#ticket = ticket;
    this.#streams = placement.streams;
    this.#releasable = placement.releasable;
    this.#attached = placement.attached;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    this.closed = placement.streams?.closed ?? this.exited.then(() => ({ truncated: false, heldBy: [] }));
    hold();
  }

  /** Where the group is now, as far as this thread has been told. */
  get state(): GroupState {
    return this.#state;
  }

  /**
   * Sends one signal to the leader's process group, and says who got it; under containment 'leader' to the leader alone. A
   * group that has ended answers 'gone'. Under containment 'tree' too it is the leader's group, as killpg has it, also after
   * the leader's end: members that went to another group or session get nothing. Only stop(), kill() and the other teardowns
   * reach the whole tree.
   * Throws ERR_UNKNOWN_SIGNAL, ERR_INVALID_ARG_TYPE, EPERM where nobody could be signalled, EAGAIN where a guardian has not
   * read some hundred signals before it, EMFILE where a full descriptor table hides who is in an attached group. killpg(3),
   * pidfd_send_signal(2).
   */
  signal(name: NodeJS.Signals): SignalTarget {
    const number = signalNumber(name);
    const answer = this.#report?.empty ? 0 : engine().signal(this.#id, number);
    const target = readTarget(answer);
    const error = target === null ? signalRefused(name, this.pgid, answer % 1000) : null;
    if (channels.signal.hasSubscribers) channels.signal.publish({ group: this, signal: name, target, error });
    if (target === null) throw error;
    return target;
  }

  /** Enters the teardown ladder, once; every caller gets the same report. Resolves also where survivors remain. */
  stop(): Promise<TeardownReport> {
    return this.#teardown('stop', false);
  }

  /** SIGKILL now, then as stop(). A ladder that has begun jumps to its end. */
  kill(): Promise<TeardownReport> {
    return this.#teardown('stop', true);
  }

  /** @internal The same teardown under another cause. */
  end(cause: TeardownCause): Promise<TeardownReport> {
    return this.#teardown(cause, false);
  }

  /** @internal An abort of `signal` begins the teardown, until the group is gone or released. */
  follow(signal: AbortSignal): void {
    this.#unfollow = onAbort(signal, () => void this.end('abort'));
  }

  #teardown(cause: TeardownCause, kill: boolean): Promise<TeardownReport> {
    if (this.#report !== undefined) return this.gone;
    this.#traceTeardown(cause, () => engine().begin(this.#id, causeNumber(cause), kill));
    hold();
    return this.gone.finally(letGo);
  }

  #traceTeardown(cause: TeardownCause | null, begin: () => void): void {
    if (this.#trace === undefined && channels.teardown.hasSubscribers) {
      // Kept before its start is told: a subscriber may call stop().
      this.#trace = new Trace(channels.teardown, { group: this, cause });
      this.#trace.run(begin);
    } else begin();
  }

  /**
   * Moves the end of the group's lease to `leaseMs` from now; 0 ends it now, Infinity takes it away. The deadline is the
   * engine's: when it passes, the teardown begins (cause 'lease'), also while JavaScript is blocked. Answers false, and
   * moves nothing, once a teardown has begun, the lease has run out or the group is gone. Throws ERR_INVALID_ARG_TYPE,
   * ERR_OUT_OF_RANGE.
   */
  renewLease(leaseMs: number): boolean {
    if (leaseMs === undefined) throw invalidType('leaseMs', 'of type number (milliseconds)', leaseMs);
    duration('leaseMs', leaseMs, 0);
    return this.#report === undefined && engine().renew(this.#id, leaseMs);
  }

  /** The live members, by a census of /proc; zombies are left out. Empty once the group is gone. */
  members(): Promise<Member[]> {
    return new Promise((resolve) => {
      if (this.#report?.empty || !engine().members(this.#id)) {
        resolve([]);
        return;
      }
      hold();
      this.#listWaiters.push(resolve);
    });
  }

  /**
   * Lets the group run on: exit, dispose and an abort of options.signal leave it alone, and it is no leak. Without a guardian
   * it needs `lifetime: 'releasable'` at spawn, else throws ERR_NOT_RELEASABLE: only the process itself could disarm its
   * parent-death signal. An explicit stop() still works.
   */
  release(): void {
    if (!this.#releasable) {
      throw new ProcessGroupError("release() must be declared at spawn with lifetime: 'releasable'", {
        code: 'ERR_NOT_RELEASABLE',
        stage: 'release',
      });
    }
    this.#released = true;
    this.#unfollow();
    engine().release(this.#id);
    this.unref();
  }

  /** The event loop goes on while this group lives, as it does until unref(). */
  ref(): this {
    if (!this.#holding && this.#report === undefined) {
      this.#holding = true;
      hold();
    }
    this.#streams?.setRef(true);
    return this;
  }

  /** The event loop may end while this group lives. A pending stop() or members() keeps it alive all the same. */
  unref(): this {
    this.#letGo();
    this.#streams?.setRef(false);
    return this;
  }

  #letGo(): void {
    if (!this.#holding) return;
    this.#holding = false;
    letGo();
  }

  /**
   * Calls `listener` with the present state, in a later turn, and then with each change; stops and continues of the leader
   * are seen from the first listener on. Returns a function that takes the listener away. waitid(2).
   */
  onStateChange(listener: (change: StateChange) => void): () => void {
    if (typeof listener !== 'function') throw invalidType('listener', 'of type function', listener);
    if (!this.#watchingStops && !this.#attached && this.#state === 'running') {
      this.#watchingStops = true;
      engine().watchStops(this.#id);
    }
    return this.#notices.add(listener, { state: this.#state });
  }

  /** Tears the group down and waits for its end. Never rejects: survivors are told by a process warning. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#released) return;
    const report = await this.#teardown('dispose', false);
    if (!report.empty) warnOfSurvivors(this.pgid, report);
  }

  /** @internal attach(): the leader ended before we came; nobody can say how. */
  leaderWasGone(): void {
    this.#state = 'leader-exited';
    this.#resolveExited(unknownExit());
  }

  #change(state: GroupState, change: StateChange = { state: state as StateChange['state'] }): void {
    this.#state = state;
    this.#notices.tell(change);
  }

  /** @internal One row of the engine's news. */
  receive(type: Row, row: RowView): void {
    switch (type) {
      case Row.Exit: {
        if (this.#state === 'running' || this.#state === 'stopped') this.#change('leader-exited');
        const exit = readExit(row);
        this.#resolveExited(exit);
        this.#streams?.leaderExited();
        if (channels.exit.hasSubscribers) channels.exit.publish({ group: this, exit });
        break;
      }
      case Row.Paused:
        this.pausedTold(row.at(2) !== 0, row.at(3));
        break;
      case Row.Draining:
        this.pausesEnd();
        this.#change('draining');
        this.#traceTeardown(readCause(row.at(2)), () => {}); // begun by the engine: timeout, lease, guardian
        break;
      case Row.Gone: {
        const report = readReport(row, this.mechanism.containment);
        this.#report = report;
        this.#unfollow();
        this.pausesEnd(report.usage);
        if (report.empty) {
          dropTicket(this.#ticket);
          this.#streams?.groupGone();
        }
        this.#change(report.empty ? 'empty' : 'survivors');
        this.#resolveGone(report);
        this.#letGo();
        this.#trace?.succeed(report);
        break;
      }
      case Row.Members: {
        const { members } = row.payload();
        for (const resolve of this.#listWaiters.splice(0)) {
          letGo();
          resolve(members);
        }
        break;
      }
      case Row.StopState: {
        const signal = row.at(2);
        if (this.#state !== 'running' && this.#state !== 'stopped') {
          this.#notices.tell(signal === 0 ? { state: 'continued' } : { state: 'stopped', signal: signalName(signal) });
        } else if (signal === 0) this.#change('running', { state: 'continued' });
        else this.#change('stopped', { state: 'stopped', signal: signalName(signal) });
        break;
      }
      default:
        break;
    }
  }
}
