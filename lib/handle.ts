import type { Duplex, Readable, Writable } from 'node:stream';
import { needsCgroup, readUsage } from './cgroup.js';
import type { Placement } from './handle-ticket.js';
import { Pauses } from './pauses.js';
import type { CgroupUsage, Mechanism } from './types.js';

/** What a handle has from the start, and what needs containment 'cgroup'. */
export abstract class Handle<
  In extends Writable | null = Writable | null,
  Out extends Readable | null = Readable | null,
  Err extends Readable | null = Readable | null,
> {
  /** The leader's pid, in our PID namespace. */
  readonly pid: number;
  /** Containment 'namespace': the pid that the leader itself sees; null otherwise. pid_namespaces(7). */
  readonly innerPid: number | null;
  /** The process group, as realised before exec. getpgid(2). */
  readonly pgid: number;
  /** The session, as realised before exec; 0 where attach() could not tell. getsid(2). */
  readonly sid: number;
  /** What holds for this handle on this kernel. */
  readonly mechanism: Mechanism;
  /** Our ends of the pipes, one for each entry of the option; null where the entry is no pipe. Empty after attach(). */
  readonly stdio: readonly (Readable | Writable | Duplex | null)[];
  readonly #pauses: Pauses | null;
  #final: CgroupUsage | null = null;

  /** @internal */
  constructor({ id, pid, innerPid, pgid, sid, mechanism, streams, entries }: Placement) {
    this.pid = pid;
    this.innerPid = innerPid;
    this.pgid = pgid;
    this.sid = sid;
    this.mechanism = mechanism;
    this.stdio = streams?.stdio ?? Array<null>(entries).fill(null);
    this.#pauses = mechanism.cgroupPath === null ? null : new Pauses(id);
  }

  /** Its input, or null where that is no pipe. It swallows EPIPE. */
  get stdin(): In {
    return (this.stdio[0] ?? null) as In;
  }
  /** Its output, or null where that is no pipe. Read and dropped from the leader's end on where nobody reads it. */
  get stdout(): Out {
    return (this.stdio[1] ?? null) as Out;
  }
  /** As stdout. */
  get stderr(): Err {
    return (this.stdio[2] ?? null) as Err;
  }
  /**
   * Stops every member at once, also those that are being forked, and resolves when all of them stand still; who is
   * paused notices nothing. Rejects with ERR_NEEDS_CGROUP elsewhere than under containment 'cgroup', with ERR_GROUP_ENDING
   * where a teardown comes first (which resumes). cgroup.freeze, since Linux 5.2.
   */
  async pause(): Promise<void> {
    if (this.#pauses === null) throw needsCgroup('pause');
    return this.#pauses.ask(true);
  }

  /** Lets the members of a paused group run on. Rejects as pause(). */
  async resume(): Promise<void> {
    if (this.#pauses === null) throw needsCgroup('resume');
    return this.#pauses.ask(false);
  }

  /** Memory, processor time, processes and io of the group so far; see `report.usage` for the end. Rejects with ERR_NEEDS_CGROUP. */
  async usage(): Promise<CgroupUsage> {
    const { cgroupPath } = this.mechanism;
    if (cgroupPath === null) throw needsCgroup('usage');
    return this.#final ?? readUsage(cgroupPath);
  }

  /** @internal */
  protected pausedTold(paused: boolean, err: number): void {
    this.#pauses?.told(paused, err);
  }

  /** @internal The teardown has begun, or everything has ended. */
  protected pausesEnd(final: CgroupUsage | null = null): void {
    this.#final ??= final;
    this.#pauses?.end();
  }
}
