import { setMaxListeners } from 'node:events';

/**
 * Settles as `work` does, or rejects when `signal` fires before that, with what `toError` makes of its reason (default: the
 * reason itself). Where the signal has fired already `work` is not called. No listener is left behind.
 */
export function untilAborted<T>(
  work: () => T | PromiseLike<T>,
  signal: AbortSignal = new AbortController().signal,
  toError = (reason: unknown): unknown => reason,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(toError(signal.reason));
    if (signal.aborted) return onAbort();
    // A hundred who wait at once are no leak.
    setMaxListeners(0, signal);
    signal.addEventListener('abort', onAbort, { once: true });
    new Promise<T>((settle) => settle(work()))
      .finally(() => signal.removeEventListener('abort', onAbort))
      .then(resolve, reject);
  });
}

/** setTimeout for a time that may be Infinity: what is too long for it would fire at once. */
export const timer = (ms: number, act: () => void): NodeJS.Timeout => setTimeout(act, Math.min(ms, 2 ** 31 - 1));
