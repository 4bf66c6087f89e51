import { AsyncResource } from 'node:async_hooks';
import { dropTicket, engine, hold, letGo, openTicket, Row, type RowView } from '../native.js';
import { causeNumber, readReport } from '../report.js';
import { signalName } from '../signals.js';
import type { Containment, TeardownReport } from '../types.js';
import { callOptions, childrenDenied } from './call.js';
import { nextStart, tellLater } from './exits.js';
import { disposeNative, type InnerChild, type NativeHandle, readRequest } from './node-shape.js';
import { planHandle } from './plan.js';
import { startNow } from './start.js';
import { tellFailed, tellStarted, traceOf } from './trace.js';
import type { StoppableChild } from './types.js';

const ESRCH = -3;
const EINVAL = -22;
/** Signals whose default is not to end the process. signal(7). */
const HARMLESS: ReadonlySet<string> = new Set([
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGWINCH',
]);

/** Says that a handle is one of ours, to other copies of this file too. */
export const OURS = Symbol.for('procgroup.child_process.handle');

/**
 * Stands where ChildProcess has its native handle, and is called by it alone. Numbers below zero are negative errnos.
 */
export class EngineHandle implements NativeHandle {
  declare onexit: NativeHandle['onexit'];
  pid?: number;
  readonly [OURS] = true;
  #child: InnerChild;
  #native: NativeHandle;
  #resource = new AsyncResource('PROCGROUPCHILD', { requireManualDestroy: true });
  #own = callOptions();
  #id = 0;
  #ticket = 0;
  #started = 0;
  #containment: Containment = 'leader';
  #refed = true;
  #held = false;
  #open = true;
  #ended = false;
  #told = false;
  #killed = false;
  #report: TeardownReport | undefined;
  #gone: { promise: Promise<TeardownReport>; resolve(report: TeardownReport): void } | undefined;
  #stopped = false;

  constructor(child: InnerChild, native: NativeHandle) {
    // onexit, and the symbol by which Node finds the owner.
    Object.assign(this, native);
    this.#child = child;
    this.#native = native;
  }

  spawn(...given: unknown[]): number {
    if (childrenDenied()) return this.#native.spawn(...given);
    disposeNative(this.#native);
    const request = readRequest(given);
    const plan = planHandle(request, this.#own);
    if (plan === null) return EINVAL;
    this.#containment = plan.containment;
    const ticket = openTicket((type, row) => this.#receive(type, row));
    const trace = traceOf(request, plan);
    const start = () => startNow(ticket, request, plan);
    const { error, stage, id, pid } = trace === undefined ? start() : trace.run(start);
    if (error < 0) {
      dropTicket(ticket);
      if (trace !== undefined) tellFailed(trace, request.file, error, stage);
      return error;
    }
    this.#ticket = ticket;
    this.#started = nextStart();
    this.#id = id;
    this.pid = pid;
    this.#hold();
    if (trace !== undefined) tellStarted(trace, this.#child as StoppableChild<InnerChild>, pid, this.#whenGone());
    return 0;
  }

  #hold(): void {
    const wanted = this.#id !== 0 && this.#open && this.#refed;
    if (wanted === this.#held) return;
    this.#held = wanted;
    if (wanted) hold();
    else letGo();
  }

  #receive(type: Row, row: RowView): void {
    if (type === Row.Exit) {
      this.#ended = true;
      const [code, signal] = [row.at(2), row.at(3)];
      tellLater(this.#started, () => this.#exit(code, signal));
    } else if (type === Row.Gone) {
      const report = readReport(row, this.#containment);
      if (report.empty) dropTicket(this.#ticket);
      this.#report = report;
      this.#gone?.resolve(report);
    }
  }

  #exit(code: number, signal: number): void {
    this.#told = true;
    if (this.#killed && this.#containment !== 'leader') this.#begin();
    const name = signal > 0 ? signalName(signal) : '';
    // As Node, which has no names for real-time signals. A status that somebody else took is not known.
    const known = name.startsWith('SIGRT') ? '' : name;
    this.#resource.runInAsyncScope(this.onexit, this, signal > 0 ? 0 : code < 0 ? null : code, known);
  }

  /** To the leader alone. A child whose end has not been told yet takes a signal, as a zombie does. */
  kill(signal: number): number {
    if (this.#id === 0) return ESRCH;
    const answer = this.#ended ? 0 : engine().signalLeader(this.#id, signal);
    if (answer !== 0 && answer !== ESRCH) return answer;
    if (signal !== 0 && !HARMLESS.has(signalName(signal))) this.#killed = true;
    return this.#told ? ESRCH : 0;
  }

  #begin(): void {
    engine().begin(this.#id, causeNumber('stop'), false);
  }

  #whenGone(): Promise<TeardownReport> {
    if (this.#gone === undefined) {
      let resolve!: (report: TeardownReport) => void;
      const promise = new Promise<TeardownReport>((settle) => {
        resolve = settle;
      });
      this.#gone = { promise, resolve };
      if (this.#report !== undefined) resolve(this.#report);
    }
    return this.#gone.promise;
  }

  stop(): Promise<TeardownReport> {
    const gone = this.#whenGone();
    if (this.#stopped) return gone;
    this.#stopped = true;
    if (this.#id === 0) this.#gone?.resolve(neverStarted(this.#containment));
    else if (this.#report === undefined) {
      this.#begin();
      hold();
      void gone.then(letGo);
    }
    return gone;
  }

  ref(): void {
    this.#refed = true;
    this.#hold();
  }

  unref(): void {
    this.#refed = false;
    this.#hold();
  }

  hasRef(): boolean {
    return this.#open && this.#refed;
  }

  getAsyncId(): number {
    return this.#resource.asyncId();
  }

  close(callback?: () => void): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hold();
    this.#resource.emitDestroy();
    if (typeof callback === 'function') process.nextTick(callback);
  }
}

function neverStarted(covers: Containment): TeardownReport {
  return {
    empty: true,
    cause: 'stop',
    evidence: 'leader',
    covers,
    survivors: [],
    steps: [],
    durationMs: 0,
    notes: [],
    usage: null,
  };
}
