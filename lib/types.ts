import type { CgroupOptions, CgroupUsage, LimitName } from './cgroup-types.js';
import type { Rlimits } from './rlimit-types.js';
import type { StdioOption } from './stdio-types.js';

export type * from './cgroup-types.js';
export type * from './rlimit-types.js';
export type * from './stdio-types.js';

/** How the leader is placed before exec: in our own process group, in a new one, or in a new session. setpgid(2), setsid(2). */
export type Isolation = 'inherit' | 'group' | 'session';

/** Who counts as a member, and what a teardown reaches. See docs/architecture.md for the table. */
export type Containment = 'leader' | 'group' | 'tree' | 'cgroup' | 'namespace';

/** One rung of the teardown ladder. SIGKILL always follows the last one. */
export interface TeardownStep {
  /** Any signal but SIGKILL makes sense here; SIGCONT follows each. signal(7). */
  signal: NodeJS.Signals;
  /** Milliseconds to wait for the group to become empty before the next rung. */
  graceMs: number;
}

/** A command that may signal what we may not. */
export interface PrivilegedKiller {
  /**
   * Program and first arguments, for instance ['sudo', '-n', 'kill']. It is run as
   * `command... -s TERM -- pid pid...` with the pids of members that answered EPERM.
   */
  command: readonly [string, ...string[]];
  /** Milliseconds before a killer that hangs is itself killed (default 2,000). */
  timeoutMs?: number;
}

/** How a group is torn down. */
export interface TeardownOptions {
  /** The ladder (default [{ signal: 'SIGTERM', graceMs: 5000 }]). [] goes straight to SIGKILL. */
  teardown?: readonly TeardownStep[];
  /** Milliseconds to wait after SIGKILL before survivors are reported (default 2,000). */
  killWaitMs?: number;
  /** Cap on the sum of all graces when the Node process itself ends (default 1,000). */
  exitGraceMs?: number;
  /** Who signals members that answer EPERM. Keeps the leader unreaped until the group is empty. */
  privilegedKiller?: PrivilegedKiller;
}

/**
 * What spawn() takes: the own members of a plain object, as they are at the call. Every option is validated before anything is
 * opened or started; one of an unknown name is refused.
 */
export interface SpawnOptions<S extends StdioOption = StdioOption> extends TeardownOptions {
  /** Working directory (default: ours). A file URL or a path; missing: ENOENT of stage 'chdir'. chdir(2). */
  cwd?: string | URL;
  /** Replaces the environment, as in Node (default process.env). PATH look-up uses this env. */
  env?: { readonly [name: string]: string | undefined };
  /** What the command finds as its own name, argv[0] (default: the program as given). execve(2). */
  argv0?: string;
  /** true: /bin/sh -c; a string: that shell. */
  shell?: boolean | string;
  /** Default 'group'. */
  isolation?: Isolation;
  /**
   * Default 'tree', or 'leader' where isolation is 'inherit'. 'strongest': what this machine grants of namespace, cgroup, tree
   * and group, in that order; with `cgroup` options a cgroup. The handle's `mechanism.containment` says which.
   */
  containment?: Containment | 'strongest';
  /** With containment 'cgroup': where its leaf goes, and limits. */
  cgroup?: CgroupOptions;
  /** Default ['ignore', 'pipe', 'inherit']. */
  stdio?: S;
  /** Make the new group the terminal's foreground group before exec, take the terminal back at its end. tcsetpgrp(3). */
  foreground?: boolean;
  /** Mode bits that new files do not get, 0 ... 0o777 (default: ours). umask(2). */
  umask?: number;
  /** Absolute nice value, -20 ... 19. setpriority(2). */
  nice?: number;
  /** Resource limits of the command (default: ours; nofile as Node found it). Above a hard limit: EPERM of stage 'rlimit'. setrlimit(2). */
  rlimits?: Rlimits;
  /** -1000 ... 1000, written to oom_score_adj. proc(5). */
  oomScoreAdj?: number;
  /**
   * Signal the leader gets when this process dies, however it dies. PR_SET_PDEATHSIG, prctl(2).
   * Default 'SIGKILL', but 'none' under containment 'leader' and with lifetime 'releasable'.
   */
  parentDeathSignal?: NodeJS.Signals | 'none';
  /** What happens to descriptors that are not listed in stdio (default 'close'). close_range(2). */
  strayFds?: 'close' | 'inherit';
  /** Default 'bound'. 'releasable': no parent-death signal is armed; release() needs that where there is no guardian. */
  lifetime?: 'bound' | 'releasable';
  /**
   * User of the command, 0 ... 2^31 - 1; needs a containment with a guardian, and CAP_SETUID, else rejects with EPERM of stage 'setuid'.
   * Set alone it changes neither gid nor the parent's directories; all three ids are changed. setresuid(2).
   */
  uid?: number;
  /** Group of the command, as `uid` with CAP_SETGID; stage 'setgid'. setresgid(2). */
  gid?: number;
  /**
   * Supplementary groups, at most 64 (default: none where uid or gid is given and this process may drop them, else its own).
   * Needs CAP_SETGID, else rejects with EPERM of stage 'groups'. setgroups(2).
   */
  groups?: readonly number[];
  /** Before spawn settles: rejects with AbortError. Afterwards: enters teardown. */
  signal?: AbortSignal;
  /**
   * Milliseconds from exec to teardown (default: none). With a guardian from the command's start: one that hangs
   * before exec, on a mount that does not answer, is killed, and spawn rejects with ETIMEDOUT. Elsewhere `signal` ends that.
   */
  timeoutMs?: number;
  /** Milliseconds from exec to a teardown with cause 'lease', unless renewLease() moves it (default: none). */
  leaseMs?: number;
  /**
   * Milliseconds after the leader's end before a pipe that somebody still holds is cut (default 1,000). What it holds at that
   * moment is still delivered.
   */
  drainMs?: number;
}

/**
 * As process.resourceUsage(): times in microseconds, maxRSS in KiB. getrusage(2). Under containment 'leader' and 'group'
 * maxRSS is at least what this process had resident before exec; with a guardian it is the command's own (see docs/gotchas.md).
 */
export interface ResourceUsage {
  /** Microseconds in user mode. */
  userCPUTime: number;
  /** Microseconds in the kernel. */
  systemCPUTime: number;
  /** Peak of resident memory, KiB. */
  maxRSS: number;
  minorPageFault: number;
  majorPageFault: number;
  fsRead: number;
  fsWrite: number;
  voluntaryContextSwitches: number;
  involuntaryContextSwitches: number;
}

/** How the leader ended. wait(2). */
export interface ExitResult {
  /** Exit code, or null where a signal ended it or the status is unknown. */
  code: number | null;
  /** The signal that ended it, or null. */
  signal: NodeJS.Signals | null;
  /** True where it left a core file, or handed one to core_pattern's program. core(5). */
  coreDumped: boolean;
  /** null where the kernel could not give it (status 'unknown' or 'held-by-tracer', and attach()). */
  resourceUsage: ResourceUsage | null;
  /**
   * 'exact': from waitid(2). 'unknown': somebody else took our zombie (SIGCHLD ignored, a foreign wait), or it never was
   * our child. 'held-by-tracer': it is dead but its tracer does not let go.
   */
  status: 'exact' | 'unknown' | 'held-by-tracer';
  /** Containment 'cgroup': the limits that members had run into by then. Empty otherwise. */
  limitsHit: LimitName[];
}

/** A live process of the group, as a census of /proc saw it. proc(5). */
export interface Member {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  /** State letter of proc(5): R S D T t Z ... */
  state: string;
  comm: string;
  /** Clock ticks after boot, field 22 of /proc/pid/stat. */
  startTime: number;
  /** Resident bytes. */
  rss: number;
}

/** Who holds a pipe open after the leader's end. */
export interface Holder {
  pid: number;
  comm: string;
}

/** How the leader's output ended. */
export interface ClosedResult {
  /** True where a pipe was cut at drainMs while somebody still held it. */
  truncated: boolean;
  /** Processes that still held stdout or stderr, as far as /proc may be read. Who holds a further pipe is not known: it is a socket. */
  heldBy: Holder[];
}

/** What entered a teardown. 'exit': the Node process ended. 'lease': its deadline passed. 'guardian': the guardian was lost. */
export type TeardownCause = 'stop' | 'abort' | 'timeout' | 'dispose' | 'exit' | 'lease' | 'guardian';

/** A process that outlived the teardown, and what is known of the reason. proc(5). */
export interface Survivor {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  state: string;
  comm: string;
  /** Kernel function it sleeps in, '' where /proc does not tell. */
  wchan: string;
  /** Why the last signal did not reach it ('EPERM'), or null: it was signalled and has not died. */
  error: string | null;
  /** True for a dead process whose tracer does not wait. */
  heldByTracer: boolean;
}

/** One signal of a teardown. */
export interface StepRecord {
  /** What was sent; the SIGCONT behind it has no record. */
  signal: NodeJS.Signals;
  /** Milliseconds from the start of the teardown. */
  atMs: number;
  /** Who was signalled: the whole group at once, the leader alone, each member by pidfd, or EPERM members by the killer. */
  target: 'group' | 'leader' | 'members' | 'killer';
  /** Error code of the signal or of the killer, or null. */
  error: string | null;
}

/** What a teardown did, and on what its claim of emptiness rests. */
export interface TeardownReport {
  /** True where the group was seen empty (zombies do not count). */
  empty: boolean;
  /** What entered the teardown; null where the group ended by itself. */
  cause: TeardownCause | null;
  /**
   * What emptiness rests on. 'esrch': signal 0 to the group, or the session's number, which nobody has. 'echild': the subreaper
   * has no child left. 'populated': neither has it, nor does the cgroup hold a process. 'namespace': its init has ended.
   * 'census': a scan begun after SIGKILL reached them all. 'leader': its own end. 'unverified': /proc could not be read.
   */
  evidence: 'namespace' | 'populated' | 'echild' | 'esrch' | 'census' | 'leader' | 'unverified';
  /** 'group' covers members of the group (and session); who left it by setsid or setpgid is not covered. */
  covers: Containment;
  /** Members that live on; [] where `empty` is true. */
  survivors: Survivor[];
  /** Signals in the order in which they were sent; [] where the group ended by itself. */
  steps: StepRecord[];
  /** Milliseconds from the first step to the end; 0 where there was no teardown. */
  durationMs: number;
  /** Facts a reader should know: 'leader-signalled-alone', 'numeric-pids', 'killer-failed: ...', 'killer-timeout', 'pin-lost' ... */
  notes: string[];
  /** Containment 'cgroup': what was counted up to the end, peaks included. null otherwise. */
  usage: CgroupUsage | null;
}

/** What holds for this handle on this kernel. */
export interface Mechanism {
  readonly isolation: Isolation;
  readonly containment: Containment;
  /** The call that made the child: clone3(2) since Linux 5.3, else clone(2); 'attach': it was there. */
  readonly spawn: 'clone3' | 'clone' | 'fork' | 'attach';
  /** What tells of ends: pidfds (Linux 5.3), or a thread that waits for each child. */
  readonly exitNotice: 'pidfd' | 'waitid';
  /** How the group is pinned against reuse of its number. */
  readonly groupSignal: 'pidfd-group' | 'zombie-pin' | 'member-pidfds' | 'leader-only';
  /** What the leader gets when its parent dies: the guardian, or where there is none this process. */
  readonly parentDeathSignal: NodeJS.Signals | 'none';
  /** Pid of the guardian between us and the tree, or null. It is the leader's parent. */
  readonly guardianPid: number | null;
  /** Directory of the cgroup, or null. */
  readonly cgroupPath: string | null;
  /** Namespaces made for the group. 'user': only where we lack CAP_SYS_ADMIN. namespaces(7). */
  readonly namespaces: readonly ('pid' | 'mount' | 'user')[];
}

/** Running: the leader lives. LeaderExited: it ended, members live. Draining: teardown runs. Empty: nobody is left. */
export type GroupState = 'running' | 'stopped' | 'leader-exited' | 'draining' | 'empty' | 'survivors';

/** What a listener of onStateChange() is told. */
export interface StateChange {
  state: 'running' | 'stopped' | 'continued' | 'leader-exited' | 'draining' | 'empty' | 'survivors';
  /** The stop signal, for 'stopped'. */
  signal?: NodeJS.Signals;
}

/** Who received a signal: the whole group, the leader alone, its members one by one, or nobody because it is gone. */
export type SignalTarget = 'group' | 'leader' | 'members' | 'gone';

/** What output() takes. */
export interface OutputOptions<S extends StdioOption = StdioOption> extends SpawnOptions<S> {
  /** Bytes kept of each of stdout and stderr (default 1 MiB); what comes later is read and dropped. */
  maxBytes?: number;
  /** 'utf8' gives strings (default), 'buffer' gives Buffers. */
  encoding?: BufferEncoding | 'buffer';
  /** Written to stdin, which is then closed. */
  input?: string | Uint8Array;
}

/** What output() gives. */
export interface OutputResult<T = string> {
  /** Exit code, or null where a signal ended it, or nobody could (see `report`). Not 0 is no error. */
  code: number | null;
  /** The signal that ended it, or null. */
  signal: NodeJS.Signals | null;
  /** What it wrote, up to maxBytes; empty where stdio has no pipe there. */
  stdout: T;
  /** As stdout: output() pipes both, unless `stdio` says otherwise. */
  stderr: T;
  /** True where maxBytes was reached or a pipe was cut. */
  truncated: boolean;
  /** The leader's end in full. */
  exit: ExitResult;
  /** How the group ended. */
  report: TeardownReport;
}
