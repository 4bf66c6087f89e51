import type { Duplex, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { AbortError } from './errors.js';
import type { ProcessGroup } from './process-group.js';
import { spawn } from './spawn.js';
import type { ExitResult, TeardownReport } from './types.js';
import { CHANNEL_FD, frame, type Message, messages, send } from './workload-channel.js';
import { decodeThrown, type Envelope, encodeThrown, textOf } from './workload-envelope.js';
import { fault, WorkloadError } from './workload-error.js';
import type { WorkloadPlan } from './workload-options.js';
import type { ProgressQueue } from './workload-progress.js';

const RUNNER = fileURLToPath(new URL('./workload-runner.js', import.meta.url));
/** Milliseconds in which a process that has answered, or has closed its channel, has to end by itself. */
const LINGER_MS = 5_000;

/** How a workload's process ended. */
export interface WorkloadEnd {
  /** null where it never ran, or where nobody could end it. */
  exit: ExitResult | null;
  /** Whether anything of its tree is left; null where it never ran. */
  report: TeardownReport | null;
  /** The last of each output that is 'tail'. */
  stdout: string;
  stderr: string;
}
export const NEVER_RAN: WorkloadEnd = { exit: null, report: null, stdout: '', stderr: '' };

interface Live {
  group: ProcessGroup;
  channel: Duplex;
  inbox: AsyncGenerator<Message, never>;
  stdout: () => string;
  stderr: () => string;
}

/** Reads a stream to its end; what it gives tells the last `limit` characters. */
function keepTail(stream: Readable | null, limit: number): () => string {
  let text = '';
  // Not between the halves of a character.
  const cut = () => (text.length > limit ? text.slice(text.length - limit).replace(/^[\udc00-\udfff]/, '') : text);
  stream?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    if (text.length > 2 * limit) text = cut(); // seldom: each cut copies
  });
  return cut;
}

/** A reason that is too large for a message goes as its text. */
function abortFrame(reason: unknown): Buffer[] {
  try {
    return frame({ kind: 'abort', reason: encodeThrown(reason) });
  } catch {
    return frame({ kind: 'abort', reason: encodeThrown(textOf(reason).slice(0, 2_000)) });
  }
}

/** A fresh Node that runs one workload. */
export class WorkloadProcess {
  /** Nothing of it is left, or its teardown has given up. Never rejects. */
  readonly ended: Promise<WorkloadEnd>;
  #plan: WorkloadPlan;
  #preload: readonly string[];
  #state: 'spare' | 'called' | 'begun' = 'spare';
  #cancel = new AbortController();
  #starting: Promise<Live>;
  #live: Live | undefined;
  #prepared: Promise<Message>;
  #progress: ProgressQueue | undefined;
  /** What the workload threw. */
  #thrown: Error | undefined;
  /** Why this side has ended it. */
  #why: Error | undefined;

  /** `preload`: URLs of modules that it imports before it is ready. */
  constructor(plan: WorkloadPlan, preload: readonly string[]) {
    this.#plan = plan;
    this.#preload = preload;
    this.#starting = this.#start();
    this.#prepared = this.#expect('ready');
    this.#prepared.catch(() => {}); // whoever needs it awaits it
    this.ended = this.#end();
  }

  get isSpare(): boolean {
    const lives = this.#live === undefined || this.#live.group.state === 'running';
    return this.#state === 'spare' && this.#why === undefined && lives;
  }

  async #start(): Promise<Live> {
    const plan = this.#plan;
    const [out, err] = [plan.stdout, plan.stderr].map((output) => (output === 'tail' ? 'pipe' : output));
    const group: ProcessGroup = await spawn(plan.execPath, [...plan.execArgv, RUNNER], {
      ...plan.placement,
      stdio: ['ignore', out, err, 'pipe'],
      signal: this.#cancel.signal,
    });
    const channel = group.stdio[CHANNEL_FD] as Duplex;
    send(channel, frame({ kind: 'prepare', preload: this.#preload, limit: plan.maxMessageBytes }));
    const [stdout, stderr] = [keepTail(group.stdout, plan.tailChars), keepTail(group.stderr, plan.tailChars)];
    this.#live = { group, channel, inbox: messages(channel, plan.maxMessageBytes), stdout, stderr };
    return this.#live;
  }

  async #end(): Promise<WorkloadEnd> {
    const live = await this.#starting.catch(() => null);
    if (live === null) return NEVER_RAN;
    const { group, channel, stdout, stderr } = live;
    // A leader that nobody can end does not exit; the report names it.
    const exit = await Promise.race([group.exited, group.gone.then(() => null)]);
    const report = await group.stop();
    // Not group.closed: the channel ends when its reader has read it.
    const outputs = [group.stdout, group.stderr].filter((stream) => stream !== null);
    if (exit !== null) await Promise.allSettled(outputs.map((stream) => finished(stream, { writable: false })));
    if (exit === null) group.unref(); // whoever survives holds its pipes
    if (exit === null || this.#state === 'spare') channel.destroy();
    return { exit, report, stdout: stdout(), stderr: stderr() };
  }

  /** Resolves once it waits for a call; from then on it does not keep the loop alive. */
  async ready(): Promise<void> {
    await this.#guard(() => this.#prepared);
    if (this.isSpare) this.#live?.group.unref();
  }

  /** Until the workload has begun, startMs counts. What is thrown becomes what a user is told. */
  async #guard<T>(action: () => Promise<T>): Promise<T> {
    const { startMs } = this.#plan;
    const late = fault('START_TIMEOUT', `the workload was not ready after ${startMs} ms`);
    const timer = setTimeout(() => this.#state === 'begun' || this.stop(late), startMs);
    try {
      return await action();
    } catch (error) {
      throw await this.#explain(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Enters the teardown, and says why: the first reason counts. A reader that stands still does not hold it up. The loop goes
   * on until nothing is left, for whoever awaits `ended`.
   */
  stop(why: Error): void {
    this.#why ??= why;
    this.#live?.group.ref();
    this.#progress?.close();
    this.#cancel.abort(why);
  }

  /** Sends the framed call, and empties it. Rejects with what it threw, WorkloadError, SpawnError or AbortError. */
  async run(call: Buffer[], plan: WorkloadPlan, progress: ProgressQueue): Promise<unknown> {
    const { signal, timeoutMs, abortGraceMs } = plan;
    this.#state = 'called';
    this.#progress = progress;
    let grace: NodeJS.Timeout | undefined;
    const abort = (why: Error, reason: unknown) => {
      if (this.#why !== undefined) return;
      this.#why = why;
      progress.close();
      grace = setTimeout(() => this.stop(why), this.#state === 'begun' ? abortGraceMs : 0);
      if (this.#live) send(this.#live.channel, abortFrame(reason));
    };
    const onAbort = () => abort(new AbortError(signal?.reason), signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const late = fault('TIMEOUT', `the workload had not returned after ${timeoutMs} ms`);
    const timer = timeoutMs > 0 ? setTimeout(abort, timeoutMs, late, late) : undefined;
    try {
      return await this.#guard(() => this.#converse(call, plan, progress));
    } finally {
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
      clearTimeout(grace);
      this.#live?.channel.destroy();
      void this.#linger();
    }
  }

  async #converse(call: Buffer[], plan: WorkloadPlan, progress: ProgressQueue): Promise<unknown> {
    const { group, channel } = await this.#starting;
    group.ref();
    // The engine has the deadline too, for a loop that is blocked when ours is due.
    if (plan.timeoutMs > 0) group.renewLease(plan.timeoutMs + plan.abortGraceMs);
    // What is under way when the other end closes would take its last message along.
    await this.#prepared;
    send(channel, call.splice(0)); // nobody holds it for as long as the run takes
    await this.#expect('begun');
    this.#state = 'begun';
    for (;;) {
      const message = await this.#expect('progress', 'value');
      if (message.kind === 'progress') await progress.push(message.progress);
      else if (this.#why === undefined) return (message as { result: unknown }).result;
      else throw this.#why;
    }
  }

  async #expect(...wanted: Message['kind'][]): Promise<Message> {
    const { inbox } = await this.#starting;
    const { value: message } = await inbox.next();
    if (message.kind === 'failure') throw this.#decode(message.error);
    if (wanted.includes(message.kind)) return message;
    throw fault('PROTOCOL', `a message out of turn: ${message.kind}`);
  }

  #decode(envelope: Envelope): Error {
    try {
      const error = decodeThrown(envelope);
      const odd = () => fault('THREW', 'the workload threw something that is no error: see cause', { cause: error });
      this.#thrown = error instanceof Error ? error : odd();
      return this.#thrown;
    } catch (cause) {
      return fault('PROTOCOL', 'an error that cannot be read', { cause });
    }
  }

  /** What a run rejects with: our reason, the workload's own error, or how its process ended. */
  async #explain(error: unknown): Promise<unknown> {
    if (this.#why === undefined && error === this.#thrown) return error;
    if (this.#live === undefined) return this.#why ?? error;
    if (error instanceof WorkloadError && error !== this.#thrown) this.stop(error); // what came is no message
    const { exit, stderr } = await this.#linger();
    const how = exit?.signal ? `was ended by ${exit.signal}` : `ended with code ${exit?.code ?? 'unknown'}`;
    const when = this.#state === 'begun' ? 'before it returned' : 'before it began';
    const hint = exit?.code === 13 ? ': what it waits for can never happen' : '';
    const why = this.#why ?? fault('EXITED', `the workload ${how} ${when}${hint}`, { cause: error });
    return why instanceof WorkloadError ? Object.assign(why, { exit, stderr }) : why;
  }

  /** Gives it time to end by itself. */
  async #linger(): Promise<WorkloadEnd> {
    const timer = setTimeout(() => this.stop(fault('PROTOCOL', 'no answer, and no end')), LINGER_MS);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}
