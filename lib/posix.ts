import { ProcessGroupError } from './errors.js';
import { binding, dropTicket, engine, hold, letGo, openTicket, Row, systemError } from './native.js';
import { signalNumber } from './signals.js';
import { integer } from './validate.js';

const MAX_PID = 0x7fffffff;
const pidArgument = (name: string, value: unknown) => integer(name, value, 0, MAX_PID);

function checked(result: number, syscall: string, what: string): number {
  if (result < 0) throw systemError(result, syscall, syscall, what);
  return result;
}

/** The process group of `pid` (0: ours). Throws ESRCH. getpgid(2). */
export const getpgid = (pid: number): number =>
  checked(binding().getpgid(pidArgument('pid', pid)), 'getpgid', `process ${pid}`);

/** Our own process group. getpgrp(2). */
export const getpgrp = (): number => binding().getpgrp();

/** The session of `pid` (0: ours). Throws ESRCH, EPERM. getsid(2). */
export const getsid = (pid: number): number =>
  checked(binding().getsid(pidArgument('pid', pid)), 'getsid', `process ${pid}`);

/** Moves `pid` (0: this process) into the group `pgid` (0: one of its own). Throws EACCES after exec, EPERM, ESRCH. setpgid(2). */
export function setpgid(pid: number, pgid: number): void {
  checked(binding().setpgid(pidArgument('pid', pid), pidArgument('pgid', pgid)), 'setpgid', `process ${pid}`);
}

/** Makes this process the leader of a new session. Throws EPERM where it already leads a group. setsid(2). */
export const setsid = (): number => checked(binding().setsid(), 'setsid', 'this process');

/** @internal The guard of every numeric group signal: throws the refusal that holds for `pgid` now. */
export function refusePgid(pgid: number): void {
  const refuse = (code: string, message: string) => new ProcessGroupError(message, { code, stage: 'guard' });
  switch (binding().guardPgid(pgid)) {
    case 1:
      throw refuse('ERR_OUT_OF_RANGE', `a process group is a positive number. Received ${pgid}`);
    case 2:
      throw refuse('ERR_PGID_ZERO', 'process group 0 means our own group');
    case 3:
      throw refuse('ERR_PGID_INIT', 'process group 1 is that of init, and kill(-1) signals every process');
    case 4:
      throw refuse('ERR_OWN_GROUP', `${pgid} is our own process group`);
    default:
      if (pgid > MAX_PID) throw refuse('ERR_OUT_OF_RANGE', `${pgid} is no process group`);
  }
}

/**
 * Sends a signal (0: none, only the checks) to every member of a group. Success means that one member was signalled.
 * Throws ERR_PGID_ZERO, ERR_PGID_INIT, ERR_OWN_GROUP, ERR_OUT_OF_RANGE; ESRCH where no such group is; EPERM. killpg(3).
 * Nothing pins the number: a group that was started with spawn() is safer to signal through its handle.
 */
export function killpg(pgid: number, signal: NodeJS.Signals | 0): void {
  integer('pgid', pgid, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const number = signal === 0 ? 0 : signalNumber(signal);
  refusePgid(pgid);
  checked(binding().killpg(pgid, number), 'kill', `process group ${pgid}`);
}

/** A process that cannot be mistaken for another, whatever happens to its number. Since Linux 5.3. pidfd_open(2). */
export class Pidfd implements Disposable {
  readonly pid: number;
  #fd: number;
  #wait: { promise: Promise<void>; settle: (error?: Error) => void; ticket: number } | undefined;

  /** @internal */
  constructor(pid: number, fd: number) {
    this.pid = pid;
    this.#fd = fd;
  }

  /** The descriptor, -1 once closed. It stays ours. */
  get fd(): number {
    return this.#fd;
  }

  #open(): number {
    if (this.#fd < 0) throw new ProcessGroupError('the pidfd is closed', { code: 'EBADF', errno: -9, stage: 'pidfd' });
    return this.#fd;
  }

  /** Sends a signal (0: only the checks). Throws ESRCH once the process has been reaped, EPERM. pidfd_send_signal(2). */
  send(signal: NodeJS.Signals | 0): void {
    const number = signal === 0 ? 0 : signalNumber(signal);
    checked(binding().pidfdSend(this.#open(), number), 'pidfd_send_signal', `process ${this.pid}`);
  }

  /** Resolves when the process has ended; rejects with EBADF where the pidfd is closed first. */
  async wait(): Promise<void> {
    if (this.#wait !== undefined) return this.#wait.promise;
    let settle!: (error?: Error) => void;
    const promise = new Promise<void>((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    const native = engine();
    const fd = this.#open();
    const ticket = openTicket((type) => {
      if (type === Row.PidfdReady) this.#settleWait();
    });
    const result = native.watchPidfd(fd, ticket);
    if (result < 0) {
      dropTicket(ticket);
      throw systemError(result, 'epoll_ctl', 'pidfd', `process ${this.pid}`);
    }
    hold();
    this.#wait = { promise, settle, ticket };
    return promise;
  }

  #settleWait(error?: Error): void {
    if (this.#wait === undefined) return;
    const { settle, ticket } = this.#wait;
    this.#wait = undefined;
    dropTicket(ticket);
    letGo();
    settle(error);
  }

  /** Closes the descriptor, once. Whoever waits on it is rejected with EBADF. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    if (this.#wait !== undefined) {
      // Out of epoll before it is closed.
      engine().forgetPidfd(fd, this.#wait.ticket);
      this.#settleWait(new ProcessGroupError('the pidfd was closed', { code: 'EBADF', errno: -9, stage: 'pidfd' }));
    }
    binding().closeFd(fd);
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a pidfd for `pid`. Throws ESRCH where there is no such process, ENOSYS before Linux 5.3. */
export function pidfdOpen(pid: number): Pidfd {
  const fd = checked(binding().pidfdOpen(integer('pid', pid, 1, MAX_PID)), 'pidfd_open', `process ${pid}`);
  return new Pidfd(pid, fd);
}

/** The foreground process group of the terminal `fd`. Throws ENOTTY. tcgetpgrp(3). */
export const tcgetpgrp = (fd: number): number =>
  checked(binding().tcgetpgrp(pidArgument('fd', fd)), 'tcgetpgrp', `descriptor ${fd}`);

/** Makes `pgid` the foreground group, also from a background group (SIGTTOU is blocked meanwhile). tcsetpgrp(3). */
export function tcsetpgrp(fd: number, pgid: number): void {
  checked(binding().tcsetpgrp(pidArgument('fd', fd), pidArgument('pgid', pgid)), 'tcsetpgrp', `descriptor ${fd}`);
}
