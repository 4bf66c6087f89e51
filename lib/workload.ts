import { AbortError } from './errors.js';
import { onlyKnown } from './known-options.js';
import { integer, invalidType, record, snapshotOptions } from './validate.js';
import { frame } from './workload-channel.js';
import { fault } from './workload-error.js';
import type { WorkloadOptions, WorkloadProcessOptions, WorkloadRunOptions } from './workload-options.js';
import { moduleUrl, NAMES, planWorkload, type WorkloadPlan } from './workload-options.js';
import { NEVER_RAN, type WorkloadEnd, WorkloadProcess } from './workload-process.js';
import { ProgressQueue } from './workload-progress.js';

export { WorkloadError } from './workload-error.js';
export type * from './workload-options.js';
export type { WorkloadEnd } from './workload-process.js';

/** What a workload's function is given next to its payload. */
export interface WorkloadContext<Progress = unknown> {
  /** Fires when the run is aborted, or its time is over, before any signal is sent. */
  readonly signal: AbortSignal;
  /**
   * Sends a value to whoever iterates over the run's `progress`. Resolves once it has left this process: to await it is the
   * back-pressure. Throws ERR_WORKLOAD_UNCLONEABLE, ERR_WORKLOAD_TOO_LARGE.
   */
  progress(value: Progress): Promise<void>;
}

/** What a workload's module exports: it is given the payload, and gives the value or a promise of it. */
// biome-ignore lint/suspicious/noExplicitAny: each function says what it takes
export type WorkloadFunction = (payload: any, context: WorkloadContext<any>) => unknown;
/** What a function takes as its payload. */
export type PayloadOf<F extends WorkloadFunction> = Parameters<F> extends [] ? undefined : Parameters<F>[0];
/** What a function gives, awaited. */
export type ResultOf<F extends WorkloadFunction> = Awaited<ReturnType<F>>;
/** What a function reports as progress. */
export type ProgressOf<F extends WorkloadFunction> =
  Parameters<F>[1] extends WorkloadContext<infer Progress> ? Progress : never;

/** The promise of the value, and what else there is to know of a run. */
export interface WorkloadRun<F extends WorkloadFunction = WorkloadFunction> extends Promise<ResultOf<F>> {
  /**
   * What the workload sends by context.progress(), from the first iterator on. Who iterates must go on or leave the loop: a
   * workload whose values nobody takes is held up. Ends with the run, and throws its error.
   */
  readonly progress: AsyncIterable<ProgressOf<F>>;
  /** How its process ended. Never rejects. */
  readonly ended: Promise<WorkloadEnd>;
}

/** Checks everything, takes a process in the same turn, and runs. */
function launch<F extends WorkloadFunction>(
  module: unknown,
  payload: unknown,
  options: WorkloadOptions,
  defaults: WorkloadProcessOptions,
  take: (plan: WorkloadPlan) => WorkloadProcess,
): WorkloadRun<F> {
  const progress = new ProgressQueue<ProgressOf<F>>();
  let ended = Promise.resolve(NEVER_RAN);
  const conduct = async () => {
    const plan = planWorkload({ ...defaults, ...record('options', options) });
    const { exportName, maxMessageBytes, signal, settle } = plan;
    const call = frame({ kind: 'call', module: moduleUrl('module', module), exportName, payload }, maxMessageBytes);
    if (signal?.aborted) throw new AbortError(signal.reason);
    const taken = take(plan);
    ended = taken.ended;
    try {
      return await taken.run(call, plan, progress);
    } finally {
      if (settle === 'gone') await ended;
    }
  };
  const result = conduct() as Promise<ResultOf<F>>;
  progress.follow(result);
  return Object.assign(result, { progress, ended });
}

/**
 * Runs an exported function of a module in a Node of its own, and gives its value. The payload goes through a socket that the
 * process inherits, as structured clone; it is in neither argv nor environ. Settles when nothing of the process's tree is left.
 *
 * `F` is the function's type: `runWorkload<typeof import('./hash.js').hash>(new URL('./hash.js', import.meta.url), payload,
 * { exportName: 'hash' })`. `module` is a URL, or a path that begins with '/', './' or '../' (from the working directory).
 *
 * Rejects with what the workload threw (message, stack, cause, own fields); with a WorkloadError where it gave no answer
 * (its codes are in docs/errors.md); with AbortError; with SpawnError where no process could be started; with a
 * ProcessGroupError (ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE) for bad input.
 */
export function runWorkload<F extends WorkloadFunction = WorkloadFunction>(
  module: string | URL,
  payload: PayloadOf<F>,
  options: WorkloadOptions = {},
): WorkloadRun<F> {
  return launch<F>(module, payload, options, {}, (plan) => new WorkloadProcess(plan, []));
}

export interface WorkloadPoolOptions extends WorkloadProcessOptions {
  /** Processes that wait for a call (default 1). */
  size?: number;
  /** Modules that each of them imports before it is ready. */
  preload?: readonly (string | URL)[];
}

/**
 * Keeps Nodes started ahead, so that a run need not wait for one; each still runs one workload and ends. None is started
 * before ready() or run(). An idle one does not keep the event loop alive, and ends with the pool or with this process.
 */
export class WorkloadPool implements AsyncDisposable {
  #options: WorkloadProcessOptions;
  #plan: WorkloadPlan;
  #size: number;
  #preload: string[];
  #all = new Set<WorkloadProcess>();
  #closed = false;

  /** Throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE. */
  constructor(options: WorkloadPoolOptions = {}) {
    const given: WorkloadPoolOptions = record('options', options);
    onlyKnown('options', given, { ...NAMES, size: true, preload: true });
    const { size = 1, preload = [], ...rest } = given;
    this.#options = snapshotOptions(rest);
    this.#plan = planWorkload(this.#options);
    this.#size = integer('options.size', size, 0, 1_024);
    if (!Array.isArray(preload)) throw invalidType('options.preload', 'an array', preload);
    this.#preload = preload.map((module, i) => moduleUrl(`options.preload[${i}]`, module));
  }

  /** Resolves once `size` processes wait for a call. Rejects as a run does where one cannot be started. */
  async ready(): Promise<void> {
    this.#refuseClosed();
    await Promise.all(this.#fill());
  }

  /** As runWorkload(), in a process that is ready or will be soon. What is taken is replaced. */
  run<F extends WorkloadFunction = WorkloadFunction>(
    module: string | URL,
    payload: PayloadOf<F>,
    options: WorkloadRunOptions = {},
  ): WorkloadRun<F> {
    const run = launch<F>(module, payload, options, this.#options, () => {
      this.#refuseClosed();
      return this.#spare()[0] ?? this.#add();
    });
    if (this.#all.size > 0) this.#fill();
    return run;
  }

  /** Ends every process; a run under way rejects with ERR_WORKLOAD_POOL_CLOSED. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const one of this.#all) one.stop(fault('POOL_CLOSED', 'the pool was closed'));
    await Promise.all([...this.#all].map((one) => one.ended));
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refuseClosed(): void {
    if (this.#closed) throw fault('POOL_CLOSED', 'the pool is closed');
  }

  #spare(): WorkloadProcess[] {
    return [...this.#all].filter((one) => one.isSpare);
  }

  #add(): WorkloadProcess {
    const made = new WorkloadProcess(this.#plan, this.#preload);
    this.#all.add(made);
    void made.ended.then(() => this.#all.delete(made));
    return made;
  }

  /** One that cannot be started is not tried again until the next call. */
  #fill(): Promise<void>[] {
    while (!this.#closed && this.#spare().length < this.#size) this.#add();
    return this.#spare().map((one) => {
      const ready = one.ready();
      ready.catch(() => {});
      return ready;
    });
  }
}
