import { setTimeout as delay } from 'node:timers/promises';
import { ProcessGroupError } from '../errors.js';
import { type Pidfd, pidfdOpen } from '../posix.js';
import { readProcess, readWchan } from '../procfs.js';
import type { StepRecord, Survivor, TeardownStep } from '../types.js';

export interface PidReport {
  /** The process was seen to have ended. */
  empty: boolean;
  steps: StepRecord[];
  survivors: Survivor[];
  durationMs: number;
  /** 'numeric-pids' where the kernel has no pidfds. */
  notes: string[];
}

/** One process that is not our child, and stays the one that had the number when it was first looked at. */
interface Target {
  /** Throws ProcessGroupError or a system error, ESRCH where it has gone. */
  send(signal: NodeJS.Signals): void;
  endsWithin(graceMs: number): Promise<boolean>;
  close(): void;
}

/** Since Linux 5.3. pidfd_open(2). */
class PinnedTarget implements Target {
  readonly #pidfd: Pidfd;
  readonly #ended: Promise<boolean>;

  constructor(pidfd: Pidfd) {
    this.#pidfd = pidfd;
    // It rejects when the pidfd is closed, with nobody waiting any more; and where the wait is refused (no watch is left for
    // it): then each grace is waited out, and it is the next signal that finds nobody.
    this.#ended = pidfd.wait().then(
      () => true,
      () => new Promise<boolean>(() => {}),
    );
  }

  send(signal: NodeJS.Signals): void {
    this.#pidfd.send(signal);
  }

  async endsWithin(graceMs: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(graceMs, false, { signal: timer.signal }).catch(() => false);
    try {
      return await Promise.race([this.#ended, late]);
    } finally {
      timer.abort();
    }
  }

  close(): void {
    this.#pidfd.close();
  }
}

const POLL_MS = 10;

/** For kernels without pidfds: number and start time are compared before each signal, and the end is polled for. */
class NumericTarget implements Target {
  readonly #pid: number;
  readonly #startTime: number;

  constructor(pid: number) {
    const info = readProcess(pid);
    if (info === null) throw new ProcessGroupError(`process ${pid}: ESRCH`, { code: 'ESRCH', stage: 'pidfd' });
    this.#pid = pid;
    this.#startTime = info.startTime;
  }

  #hasEnded(): boolean {
    const info = readProcess(this.#pid);
    // A process whose main thread has ended reads Z while other threads run.
    return info === null || info.startTime !== this.#startTime || (info.state === 'Z' && info.threads <= 1);
  }

  send(signal: NodeJS.Signals): void {
    if (!this.#hasEnded()) process.kill(this.#pid, signal);
  }

  async endsWithin(graceMs: number): Promise<boolean> {
    for (const end = performance.now() + graceMs; !this.#hasEnded(); await delay(POLL_MS)) {
      if (performance.now() >= end) return false;
    }
    return true;
  }

  close(): void {}
}

function open(pid: number): { target: Target; notes: string[] } {
  try {
    return { target: new PinnedTarget(pidfdOpen(pid)), notes: [] };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSYS') throw error;
    return { target: new NumericTarget(pid), notes: ['numeric-pids'] };
  }
}

/**
 * The ladder for one process that is not our child, and for no other that may get its number.
 *
 * @throws ProcessGroupError ESRCH: no such process.
 */
export async function killPid(pid: number, ladder: readonly TeardownStep[], killWaitMs: number): Promise<PidReport> {
  const started = performance.now();
  const elapsed = (): number => Math.round(performance.now() - started);
  const { target, notes } = open(pid);
  try {
    const steps: StepRecord[] = [];
    let lastError: string | null = null;
    let empty = false;
    for (const { signal, graceMs } of [...ladder, { signal: 'SIGKILL' as const, graceMs: killWaitMs }]) {
      lastError = trySend(target, signal);
      steps.push({ signal, atMs: elapsed(), target: 'leader', error: lastError });
      // A stopped process sees nothing but SIGKILL until it is continued.
      if (signal !== 'SIGKILL') trySend(target, 'SIGCONT');
      empty = lastError === 'ESRCH' || (await target.endsWithin(graceMs));
      if (empty) break;
    }
    // Where the end could not be waited for.
    empty ||= trySend(target, 'SIGKILL') === 'ESRCH';
    return { empty, steps, survivors: empty ? [] : [survivor(pid, lastError)], durationMs: elapsed(), notes };
  } finally {
    target.close();
  }
}

/** The code of what went wrong, or null. */
function trySend(target: Target, signal: NodeJS.Signals): string | null {
  try {
    target.send(signal);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
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
