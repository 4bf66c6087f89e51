import { closeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { getpgrp, getsid, tcgetpgrp, tcsetpgrp } from '../posix.js';
import { readProcess, readProcesses } from '../procfs.js';

/** The controlling terminal of this process, as far as a standard descriptor refers to it. tcsetpgrp(3). */
export class Terminal {
  readonly #fd: number;
  readonly #ownGroup = getpgrp();

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** null where none of the descriptors 0 ... 2 is our controlling terminal. */
  static find(): Terminal | null {
    for (const fd of [0, 1, 2]) {
      if (!isatty(fd)) continue;
      const terminal = new Terminal(fd);
      if (terminal.foregroundGroup() !== null) return terminal;
    }
    return null;
  }

  /** null where it is not our controlling terminal, or has hung up. */
  foregroundGroup(): number | null {
    try {
      return tcgetpgrp(this.#fd);
    } catch {
      return null;
    }
  }

  isOurs(): boolean {
    return this.foregroundGroup() === this.#ownGroup;
  }

  /** False where the terminal has hung up or the group is gone. */
  handTo(pgid: number): boolean {
    try {
      tcsetpgrp(this.#fd, pgid);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes it back from `pgid`, and from nobody else: a shell may have taken it meanwhile. */
  takeBackFrom(pgid: number): void {
    if (pgid !== this.#ownGroup && this.foregroundGroup() === pgid) this.handTo(this.#ownGroup);
  }
}

/**
 * To be called last. At its exit Node gives the terminals on descriptors 0 ... 2 the modes that it found, undoing what the
 * command did to them, and aborts where one has hung up. It leaves closed descriptors alone.
 */
export function leaveTerminals(): void {
  for (const fd of [0, 1, 2]) {
    try {
      closeSync(fd);
    } catch {
      // It was closed already.
    }
  }
}

/**
 * True where our process group has other members: a pipeline or a script, whose other parts need the terminal as well.
 */
export function sharesItsGroup(): boolean {
  const own = getpgrp();
  for (const { pid, pgid, state } of readProcesses().values()) {
    if (pgid === own && pid !== process.pid && state !== 'Z') return true;
  }
  return false;
}

/**
 * True where no process of our session outside our group is a parent of the group: nobody would continue it, which is
 * why the kernel ignores SIGTSTP there. setpgid(2), "orphaned process group".
 */
export function isOrphanedGroup(): boolean {
  const own = getpgrp();
  for (let info = readProcess(process.pid); info !== null; info = readProcess(info.ppid)) {
    if (info.pgid !== own) return info.sid !== getsid(process.pid);
  }
  return true;
}
