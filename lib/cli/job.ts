import type { ProcessGroup } from '../process-group.js';
import type { Isolation, StateChange } from '../types.js';
import { forwardedSignals } from './parse.js';
import { warn } from './print.js';
import { isOrphanedGroup, type Terminal } from './terminal.js';

export interface JobOptions {
  isolation: Isolation;
  terminal: Terminal | null;
  /** The group may have the terminal whenever we do; otherwise only once it has asked for it. */
  ownsTerminal: boolean;
  /** What is forwarded instead of a signal; null drops it. */
  rewrites: ReadonlyMap<NodeJS.Signals, NodeJS.Signals | null>;
}

/** The terminal sends these to the whole foreground group; where the command is in it they must not arrive twice. */
const SENT_BY_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGTSTP', 'SIGWINCH'] as const);

/**
 * What a shell does for a job, one level down: hands received signals to the group, and passes the terminal and stops
 * between the parent shell and the command. A signal received before connect() is kept until then.
 */
export class Job {
  readonly #options: JobOptions;
  readonly #received: NodeJS.Signals[] = [];
  readonly #handlers = new Map<NodeJS.Signals, () => void>();
  #group: ProcessGroup | null = null;
  #stopRequested = false;
  #lentTerminal: boolean;

  constructor(options: JobOptions) {
    this.#options = options;
    this.#lentTerminal = options.ownsTerminal;
    for (const name of forwardedSignals()) {
      const handler = (): void => this.#receive(name);
      this.#handlers.set(name, handler);
      process.on(name, handler);
    }
  }

  connect(group: ProcessGroup): void {
    this.#group = group;
    group.onStateChange((change) => this.#changed(group, change));
    for (const name of this.#received.splice(0)) this.#receive(name);
  }

  /** The leader has ended: the terminal is ours again, signals still reach the rest of the group. */
  leaderEnded(): void {
    if (this.#group !== null) this.#options.terminal?.takeBackFrom(this.#group.pgid);
  }

  #receive(name: NodeJS.Signals): void {
    const group = this.#group;
    if (group === null) {
      this.#received.push(name);
      return;
    }
    if (name === 'SIGCONT') {
      this.#stopRequested = false;
      this.#lend(group);
    }
    if (this.#arrivesByTerminal(name)) return;
    const rewritten = this.#options.rewrites.get(name);
    if (rewritten === null) return;
    if (name === 'SIGTSTP') this.#stopRequested = true;
    // A session leader's group is orphaned, so that the kernel ignores SIGTSTP there.
    const usual = name === 'SIGTSTP' && this.#options.isolation === 'session' ? 'SIGSTOP' : name;
    this.#send(group, rewritten ?? usual);
  }

  #arrivesByTerminal(name: NodeJS.Signals): boolean {
    const { isolation, terminal } = this.#options;
    return isolation === 'inherit' && SENT_BY_TERMINAL.has(name) && terminal?.isOurs() === true;
  }

  #send(group: ProcessGroup, name: NodeJS.Signals): void {
    try {
      group.signal(name);
    } catch (error) {
      // A line about SIGPIPE could itself raise SIGPIPE, and so for ever.
      if (name !== 'SIGPIPE') warn(`procgroup run: ${name} was not forwarded: ${(error as Error).message}`);
    }
  }

  #changed(group: ProcessGroup, change: StateChange): void {
    if (change.state !== 'stopped') return;
    const { terminal, isolation } = this.#options;
    const signal = change.signal ?? 'SIGSTOP';
    const readOrWrote = signal === 'SIGTTIN' || signal === 'SIGTTOU';
    if (readOrWrote && isolation === 'group' && terminal?.isOurs() === true) {
      this.#lentTerminal = terminal.handTo(group.pgid);
      if (this.#lentTerminal) this.#send(group, 'SIGCONT');
      return;
    }
    if (terminal === null && !this.#stopRequested) return;
    this.#stopRequested = false;
    if (isOrphanedGroup()) {
      if (signal === 'SIGTSTP') this.#send(group, 'SIGCONT');
      return;
    }
    terminal?.takeBackFrom(group.pgid);
    // SIGSTOP, not the signal that stopped the leader: ours are caught. The parent shell sees its job stopped.
    process.kill(process.pid, 'SIGSTOP');
  }

  /** We were continued: where the shell gave us the terminal, the group gets it before it runs on. */
  #lend(group: ProcessGroup): void {
    const { terminal, isolation } = this.#options;
    if (this.#lentTerminal && isolation === 'group' && terminal?.isOurs() === true) terminal.handTo(group.pgid);
  }
}
