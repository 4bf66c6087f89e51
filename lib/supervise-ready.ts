import { setTimeout as pause } from 'node:timers/promises';
import type { RunOutput } from './supervise-output.js';
import type { Readiness } from './supervise-types.js';

/** True once it is ready, false once `signal` has aborted. `failed` hears why an attempt was in vain. */
export async function becomesReady(
  ready: Readiness,
  output: RunOutput | null,
  signal: AbortSignal,
  failed: (error: unknown) => void,
): Promise<boolean> {
  const aborted = new Promise<false>((resolve) => {
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  if ('line' in ready) {
    const { line: wanted } = ready;
    // search() heeds no lastIndex: a pattern with the flag g would skip lines.
    const holds = (line: string) => (typeof wanted === 'string' ? line.includes(wanted) : line.search(wanted) >= 0);
    return new Promise((resolve) => {
      const listener = (line: string) => holds(line) && output?.listeners.delete(listener) && resolve(true);
      output?.listeners.add(listener);
      void aborted.then(resolve);
    });
  }
  while (!signal.aborted) {
    const attempt = async () => ('port' in ready ? accepts(ready.port, ready.host, signal) : ready.check(signal));
    // One that never settles ends with the run, or at its start deadline.
    if (await Promise.race([attempt().catch(failed), aborted])) return true;
    await pause(ready.intervalMs ?? 100, undefined, { signal }).catch(() => {});
  }
  return false;
}

/** Rejects where nobody listens. A socket that is still connecting goes with `signal`. */
async function accepts(port: number, host = '127.0.0.1', signal: AbortSignal): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host }, () => {
      resolve(true);
      socket.destroy();
    });
    const stop = () => socket.destroy();
    socket.once('error', reject).once('close', () => signal.removeEventListener('abort', stop));
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  });
}
