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
    const seen = new Promise<true>((resolve) => output?.listeners.add((line) => holds(line) && resolve(true)));
    return Promise.race([seen, aborted]);
  }
  while (!signal.aborted) {
    const attempt = async () => ('port' in ready ? accepts(ready.port, ready.host, signal) : ready.check(signal));
    // One that never settles ends with the run, or at its start deadline.
    if (await Promise.race([attempt().catch(failed), aborted])) return true;
    await pause(ready.intervalMs ?? 100, undefined, { signal }).catch(() => {});
  }
  return false;
}

async function accepts(port: number, host = '127.0.0.1', signal: AbortSignal): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host, signal }, () => resolve(socket.destroy() !== undefined));
    socket.once('error', reject);
  });
}
