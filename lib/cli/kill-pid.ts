import { setTimeout as delay } from 'node:timers/promises';
import { ProcessGroupError } from '../errors.js';
import { type Pidfd, pidfdOpen } from '../posix.js';
import { readProcess, readWchan } from '../procfs.js';
import type { StepRecord, Survivor, TeardownStep } from '../types.js';

export interface PidReport {
  /** The process was seen to have ended: its pidfd is readable. */
  empty: boolean;
  steps: StepRecord[];
  survivors: Survivor[];
  durationMs: number;
}

/**
 * The ladder for one process that is not our child. The pidfd is opened once, so that every later signal reaches the
 * process that had the number then, and nobody else. pidfd_open(2), Linux 5.3.
 *
 * @throws ProcessGroupError ESRCH: no such process; ENOSYS: no pidfds on this kernel.
 */
export async function killPid(pid: number, ladder: readonly TeardownStep[], killWaitMs: number): Promise<PidReport> {
  const started = performance.now();
  const elapsed = (): number => Math.round(performance.now() - started);
  const target = pidfdOpen(pid);
  try {
    // It rejects when the pidfd is closed below, with nobody waiting any more.
    const ended = target.wait().then(
      () => true,
      () => false,
    );
    const steps: StepRecord[] = [];
    let lastError: string | null = null;
    let empty = false;
    for (const { signal, graceMs } of [...ladder, { signal: 'SIGKILL' as const, graceMs: killWaitMs }]) {
      lastError = trySend(target, signal);
      steps.push({ signal, atMs: elapsed(), target: 'leader', error: lastError });
      // A stopped process sees nothing but SIGKILL until it is continued.
      if (signal !== 'SIGKILL') trySend(target, 'SIGCONT');
      empty = lastError === 'ESRCH' || (await endsWithin(ended, graceMs));
      if (empty) break;
    }
    return { empty, steps, survivors: empty ? [] : [survivor(pid, lastError)], durationMs: elapsed() };
  } finally {
    target.close();
  }
}

function trySend(target: Pidfd, signal: NodeJS.Signals): string | null {
  try {
    target.send(signal);
    return null;
  } catch (error) {
    if (error instanceof ProcessGroupError) return error.code;
    throw error;
  }
}

async function endsWithin(ended: Promise<boolean>, graceMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(graceMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([ended, late]);
  } finally {
    timer.abort();
  }
}

function survivor(pid: number, error: string | null): Survivor {
  const info = readProcess(pid);
  return {
    pid,
    ppid: info?.ppid ?? 0,
    pgid: info?.pgid ?? 0,
    sid: info?.sid ?? 0,
    state: info?.state ?? '?',
    comm: info?.comm ?? '',
    wchan: readWchan(pid),
    error,
    heldByTracer: false,
  };
}
