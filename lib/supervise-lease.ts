import { ProcessGroupError } from './errors.js';
import type { BeatContext, LeaseOptions } from './supervise-types.js';

const LOST = new Set<unknown>([404, 409, 410]);

/**
 * True where an answer, or an error as HTTP clients throw it, has the status 404, 409 or 410: what the lease is about is
 * not there, is somebody else's, is gone. Looks at `status`, `statusCode` and `response.status`.
 */
export function httpLost(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  const { status, statusCode, response } = answer as Record<string, unknown>;
  return LOST.has(status) || LOST.has(statusCode) || LOST.has((response as { status?: unknown } | undefined)?.status);
}

/** Whom the keeper tells. After lost() or failed() it is expected to be ended. */
export interface LeaseWatcher {
  context(): Omit<BeatContext, 'misses'>;
  renewed(leaseMs: number): void;
  lost(reason: 'refused' | 'expired', error: unknown): void;
  failed(error: unknown): void;
}

/** One beat after the other, until end(). */
export class LeaseKeeper {
  /** The last miss since the last good beat, or null. */
  error: unknown = null;
  #options: Required<LeaseOptions>;
  #watcher: LeaseWatcher;
  #expires: number;
  #misses = 0;
  #ended = false;
  #next: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;
  #controller = new AbortController();

  constructor(options: Required<LeaseOptions>, watcher: LeaseWatcher) {
    this.#options = options;
    this.#watcher = watcher;
    this.#expires = performance.now() + options.leaseMs;
  }

  /** Milliseconds that are left of the lease. */
  left(): number {
    return Math.max(0, this.#expires - performance.now());
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#next);
    clearTimeout(this.#patience);
    this.#controller.abort();
  }

  beat(): void {
    // One that has run out is not asked for again: somebody else may have it.
    if (!this.#ended && this.left() === 0) this.#watcher.lost('expired', this.error);
    if (this.#ended) return;
    const began = performance.now();
    const controller = new AbortController();
    this.#controller = controller;
    let open = true;
    const judge = (miss: unknown) => {
      if (!open || this.#ended) return;
      open = false;
      clearTimeout(this.#patience);
      if (this.left() === 0) return this.#watcher.lost('expired', miss ?? this.error);
      this.error = miss;
      this.#misses = miss === null ? 0 : this.#misses + 1;
      if (this.#misses > this.#options.forgivenMisses) return this.#watcher.failed(miss);
      const pause = began + this.#options.intervalMs - performance.now();
      this.#next = setTimeout(() => this.beat(), Math.max(0, pause));
      if (miss !== null) return;
      this.#expires = began + this.#options.leaseMs;
      this.#watcher.renewed(this.left());
    };
    // A loss counts also where it comes too late for a beat: the lease is gone.
    const answered = (answer: unknown, miss: unknown) => {
      if (this.#ended) return;
      try {
        if (this.#options.lost(answer)) this.#watcher.lost('refused', miss);
        else judge(miss);
      } catch (error) {
        judge(error ?? failure('ERR_BEAT_FAILED', 'lost() has thrown'));
      }
    };
    const late = () => {
      if (!open) return;
      const error = failure('ERR_BEAT_TIMEOUT', `the beat did not settle in ${this.#options.timeoutMs} ms`);
      controller.abort(error);
      judge(error);
    };
    // After a look at what has arrived: where JavaScript was blocked, the answer may be waiting behind this timer.
    this.#patience = setTimeout(() => setImmediate(late), this.#options.timeoutMs);
    const context = { ...this.#watcher.context(), misses: this.#misses };
    new Promise((resolve) => resolve(this.#options.beat(context, controller.signal))).then(
      (value) => answered(value, missOf(value)),
      (error) => answered(error, error ?? failure('ERR_BEAT_FAILED', 'the beat rejected')),
    );
  }
}

function failure(code: string, message: string): ProcessGroupError {
  return new ProcessGroupError(message, { code, stage: 'lease' });
}

/** Why what a beat fulfilled with is no renewal, or null. */
function missOf(value: unknown): ProcessGroupError | null {
  const { ok, status } = (typeof value === 'object' && value !== null ? value : { ok: value }) as Record<
    string,
    unknown
  >;
  if (ok !== false) return null;
  return failure(
    'ERR_BEAT_FAILED',
    `the beat was answered with ${status === undefined ? 'false' : `status ${status}`}`,
  );
}
