import { ProcessGroupError } from './errors.js';
import type { BeatContext, LeaseOptions } from './supervise-types.js';

const LOST = new Set<unknown>([404, 409, 410]);

/**
 * True where an answer, or an error as HTTP clients throw it, has the status 404, 409 or 410: what the lease is about is
 * not there, is somebody else's, is gone. Looks at `status`, `statusCode` and `response.status`.
 */
export function httpLost(answer: unknown): boolean {
  const { status, statusCode, response } = fields(answer);
  return LOST.has(status) || LOST.has(statusCode) || LOST.has(fields(response).status);
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function failure(code: string, message: string): ProcessGroupError {
  return new ProcessGroupError(message, { code, stage: 'lease' });
}

/** Why what a beat fulfilled with is no renewal, or null. An answer that cannot be read is none either. */
function missOf(value: unknown): unknown {
  try {
    const { ok = value, status = 'false' } = fields(value);
    return ok === false ? failure('ERR_BEAT_FAILED', `the beat was answered with ${status}`) : null;
  } catch (error) {
    return error ?? failure('ERR_BEAT_FAILED', 'the answer of the beat has thrown');
  }
}

/** Of one beat: good, or a miss. Of the lease, whose last word it is: taken away, run out, one miss too many. */
export type LeaseEvent = 'renewed' | 'missed' | 'refused' | 'expired' | 'failed';

type Context = () => Omit<BeatContext, 'misses'>;
type Tell = (event: LeaseEvent, error: unknown, beatMs: number | null) => void;

/** One beat after the other, until end(). */
export class LeaseKeeper {
  /** The last miss since the last good beat, or null. */
  error: unknown = null;
  #options: Required<LeaseOptions>;
  #context: Context;
  #tell: Tell;
  #expires: number;
  /** In a row. */
  misses = 0;
  #ended = false;
  #next: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;
  #controller = new AbortController();

  constructor(options: Required<LeaseOptions>, context: Context, tell: Tell) {
    this.#options = options;
    this.#context = context;
    this.#tell = tell;
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
    if (!this.#ended && this.left() === 0) this.#tell('expired', this.error, null);
    if (this.#ended) return;
    const { intervalMs, timeoutMs, leaseMs, forgivenMisses, lost, beat } = this.#options;
    const began = performance.now();
    const controller = new AbortController();
    this.#controller = controller;
    let open = true;
    const tell = (event: LeaseEvent, error: unknown) => this.#tell(event, error, performance.now() - began);
    const judge = (miss: unknown) => {
      if (!open || this.#ended) return;
      open = false;
      clearTimeout(this.#patience);
      if (this.left() === 0) return tell('expired', miss ?? this.error);
      this.error = miss;
      this.misses = miss === null ? 0 : this.misses + 1;
      if (this.misses > forgivenMisses) return tell('failed', miss);
      this.#next = setTimeout(() => this.beat(), Math.max(0, began + intervalMs - performance.now()));
      if (miss === null) this.#expires = began + leaseMs;
      tell(miss === null ? 'renewed' : 'missed', miss);
    };
    // A loss counts also where it comes too late for a beat: the lease is gone.
    const answered = (answer: unknown, miss: unknown) => {
      if (this.#ended) return;
      try {
        if (lost(answer)) tell('refused', miss);
        else judge(miss);
      } catch (error) {
        judge(error ?? failure('ERR_BEAT_FAILED', 'lost() has thrown'));
      }
    };
    const late = () => {
      if (!open) return;
      const error = failure('ERR_BEAT_TIMEOUT', `the beat did not settle in ${timeoutMs} ms`);
      controller.abort(error);
      judge(error);
    };
    // After a look at what has arrived: where JavaScript was blocked, the answer may be waiting behind this timer.
    this.#patience = setTimeout(() => setImmediate(late), timeoutMs);
    const context = { ...this.#context(), misses: this.misses };
    new Promise((resolve) => resolve(beat(context, controller.signal))).then(
      (value) => answered(value, missOf(value)),
      (error) => answered(error, error ?? failure('ERR_BEAT_FAILED', 'the beat rejected')),
    );
  }
}
