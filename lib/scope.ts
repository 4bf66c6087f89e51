import { setMaxListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { channels } from './diagnostics.js';
import { AbortError, ProcessGroupError } from './errors.js';
import { type NamesOf, onlyKnown, TEARDOWN_NAMES } from './known-options.js';
import { onAbort } from './on-abort.js';
import { planTeardown } from './options.js';
import type { ProcessGroup } from './process-group.js';
import { spawn } from './spawn.js';
import type { DefaultStdio, Spawned, SpawnOptions, StdioOption, TeardownOptions, TeardownReport } from './types.js';
import { timer, untilAborted } from './until-aborted.js';
import { duration, instance, invalidType, oneOf, record, snapshot, text } from './validate.js';

/** The ladder, killWaitMs, exitGraceMs and the privileged killer are defaults for what the scope spawns. */
export interface ScopeOptions extends TeardownOptions {
  /** For warnings and the report (default 'scope'). */
  name?: string;
  /** 'parallel' (default): all groups go down at once. 'reverse': one after the other, the last one first. */
  order?: 'parallel' | 'reverse';
  /**
   * Milliseconds from the scope's end until what is left gets SIGKILL (default 10,000). The scope has ended no later than
   * killWaitMs and one second after that, whatever the graces of its groups are.
   */
  deadlineMs?: number;
  /** The scope that this one ends with, at the latest. */
  parent?: ProcessScope;
  /** Its abort ends the scope; run() then rejects with AbortError, also where the body never settles. */
  signal?: AbortSignal;
}

/** What has become of a scope's groups. */
export interface ScopeReport {
  readonly name: string;
  /** True where every group was seen empty. */
  readonly empty: boolean;
  readonly durationMs: number;
  /** What the scope took down, or found with survivors before, in the order of their ends; with those of nested scopes. */
  readonly groups: readonly { readonly pid: number; readonly pgid: number; readonly report: TeardownReport }[];
  /** ERR_SURVIVORS for each group that was not emptied, with its TeardownReport as `cause`. */
  readonly errors: readonly Error[];
}

/** What run() rethrows bears this where the clean-up failed too. */
export interface WithCleanupErrors {
  cleanupErrors?: readonly Error[];
}

const SLACK_MS = 1_000;
const NAMES: NamesOf<ScopeOptions> = {
  ...TEARDOWN_NAMES,
  name: true,
  order: true,
  deadlineMs: true,
  parent: true,
  signal: true,
};

/**
 * The lifetime of process groups as a block: what is started in the scope goes down when it ends, whatever ends it. As
 * `await using scope = new ProcessScope()`, or as ProcessScope.run(body). To end never rejects: see `report`. When it has ended,
 * `{ scope, report }` is published on the diagnostics_channel `procgroup:scope`.
 */
export class ProcessScope implements AsyncDisposable {
  readonly name: string;
  #order: 'parallel' | 'reverse';
  #deadlineMs: number;
  #defaults: TeardownOptions;
  #parent: ProcessScope | undefined;
  #members = new Set<ProcessGroup | ProcessScope>();
  #starting = new Set<Promise<unknown>>();
  #groups: ScopeReport['groups'][number][] = [];
  #errors: Error[] = [];
  #closing = new AbortController();
  /** Fires where something else than end() ends the scope. */
  #interrupted = new AbortController();
  #hurry!: () => void;
  #late = new Promise<void>((resolve) => {
    this.#hurry = resolve;
  });
  #ending: Promise<ScopeReport> | undefined;
  #report: ScopeReport | undefined;

  /** Throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE; ERR_SCOPE_ENDED for a parent that has ended. */
  constructor(options: ScopeOptions = {}) {
    const given = snapshot(record('options', options)) as ScopeOptions;
    onlyKnown('options', given, NAMES);
    const { name = 'scope', order, deadlineMs, parent, signal, ...defaults } = given;
    planTeardown(defaults);
    setMaxListeners(0, this.signal);
    this.#defaults = defaults;
    this.name = text('options.name', name);
    this.#order = oneOf('options.order', order, ['parallel', 'reverse'] as const, 'parallel');
    this.#deadlineMs = duration('options.deadlineMs', deadlineMs, 10_000);
    instance('options.signal', signal, AbortSignal);
    this.#parent = instance('options.parent', parent, ProcessScope);
    if (this.#parent !== undefined) {
      this.#parent.#refuseEnded();
      this.#parent.#members.add(this);
    }
    const abort = () => void this.#end(new AbortError(signal?.reason));
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true, signal: this.#closing.signal });
  }

  /** Fires when the scope begins to end: for what else the body has under way. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }
  /** What has become of the groups; undefined until the scope has ended. */
  get report(): ScopeReport | undefined {
    return this.#report;
  }

  /**
   * Calls `body` with a scope that ends when the body has settled, and then settles as the body did. Its error is rethrown
   * as it is, with `cleanupErrors` where the clean-up failed too; survivors alone are told by a process warning. Rejects
   * before the body settles, with the groups gone, where options.signal fires (AbortError) or the parent ends
   * (ERR_SCOPE_ENDED).
   */
  static async run<T>(body: (scope: ProcessScope) => T | PromiseLike<T>, options: ScopeOptions = {}): Promise<T> {
    if (typeof body !== 'function') throw invalidType('body', 'of type function', body);
    const scope = new ProcessScope(options);
    try {
      return await untilAborted(() => body(scope), scope.#interrupted.signal);
    } catch (error) {
      const { errors } = await scope.end();
      if (errors.length > 0 && typeof error === 'object' && error !== null) {
        const value = [...((error as WithCleanupErrors).cleanupErrors ?? []), ...errors];
        // Refused by a frozen error, which stays the one that is thrown.
        Reflect.defineProperty(error, 'cleanupErrors', { value, enumerable: true, configurable: true, writable: true });
      }
      throw error;
    } finally {
      await scope.end();
    }
  }

  /** As spawn(), for the time of this scope. Rejects with ERR_SCOPE_ENDED too, also where the scope ends before exec. */
  spawn<const S extends StdioOption = DefaultStdio>(
    file: string,
    args?: readonly string[],
    options?: SpawnOptions<S>,
  ): Promise<Spawned<S>>;
  spawn<const S extends StdioOption = DefaultStdio>(file: string, options?: SpawnOptions<S>): Promise<Spawned<S>>;
  spawn(file: string, second?: unknown, third?: unknown): Promise<ProcessGroup> {
    const listed = Array.isArray(second) || second === undefined || second === null;
    const starting = this.#start(file, listed ? (second ?? []) : [], (listed ? third : second) ?? {});
    const settled = () => this.#starting.delete(starting);
    this.#starting.add(starting);
    starting.then(settled, settled);
    return starting;
  }

  async #start(file: string, args: string[], options: object): Promise<ProcessGroup> {
    this.#refuseEnded();
    const given: SpawnOptions = record('options', options);
    instance('options.signal', given.signal, AbortSignal);
    const cancel = new AbortController();
    const unfollow = given.signal && follow(given.signal, cancel);
    // Until spawn has settled: from then on the group ends in the order of the scope.
    const unbind = follow(this.signal, cancel);
    let group: ProcessGroup;
    try {
      group = await spawn(file, args, { ...this.#defaults, ...given, signal: cancel.signal });
    } catch (error) {
      unfollow?.();
      const ended = cancel.signal.aborted && cancel.signal.reason === this.signal.reason;
      throw ended && error instanceof AbortError ? this.#endedError() : error;
    } finally {
      unbind();
    }
    if (unfollow) void group.gone.then(unfollow);
    if (!this.signal.aborted) return this.adopt(group);
    void group.kill();
    await group[Symbol.asyncDispose]();
    this.#noteGone(group, await group.gone);
    throw this.#endedError();
  }

  /** Takes in a group that was started elsewhere. Throws ERR_INVALID_ARG_TYPE; ERR_SCOPE_ENDED, and leaves the group alone. */
  adopt<G extends ProcessGroup>(group: G): G {
    // By its shape: another copy of this package has another class.
    if (typeof group?.[Symbol.asyncDispose] !== 'function' || !(group.gone instanceof Promise)) {
      throw invalidType('group', 'a ProcessGroup', group);
    }
    this.#refuseEnded();
    if (!this.#members.has(group)) void group.gone.then((report) => this.#noteGone(group, report));
    this.#members.add(group);
    return group;
  }

  /** Ends the scope, once; every caller gets the same report. Never rejects. */
  end(): Promise<ScopeReport> {
    return this.#end();
  }

  /** SIGKILL to all now, then as end(). */
  kill(): Promise<ScopeReport> {
    this.#hurry();
    return this.#end();
  }

  /** As end(): survivors are told by process warnings, `report` and the channel. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  #end(interruption?: Error): Promise<ScopeReport> {
    if (interruption !== undefined) this.#interrupted.abort(interruption);
    this.#closing.abort(this.#endedError());
    // A listener may have been here before us.
    this.#ending ??= this.#teardown();
    return this.#ending;
  }

  async #teardown(): Promise<ScopeReport> {
    const began = performance.now();
    const open = new Set(this.#members);
    // Perhaps nobody waits for a spawn that is still under way.
    for (const starting of this.#starting) starting.catch(() => {});
    const deadline = timer(this.#deadlineMs, this.#hurry);
    let bound: NodeJS.Timeout | undefined;
    await new Promise<void>((over) => {
      bound = timer(this.#deadlineMs + (this.#defaults.killWaitMs ?? 2_000) + SLACK_MS, over);
      this.#takeAll(open).then(over, over);
    });
    clearTimeout(bound);
    clearTimeout(deadline);
    const left = [...open].map((one) => (one instanceof ProcessScope ? one.name : `process group ${one.pgid}`));
    if (this.#starting.size > 0) left.push('a spawn');
    for (const who of left) {
      const message = `${this.name}: ${who} has not come to its end in time`;
      this.#errors.push(new ProcessGroupError(message, { code: 'ERR_SURVIVORS', stage: 'teardown' }));
      process.emitWarning(message, { type: 'ProcessGroupWarning', code: 'PROCGROUP_SURVIVORS' });
    }
    const durationMs = performance.now() - began;
    const empty = this.#errors.length === 0;
    this.#report = { name: this.name, empty, durationMs, groups: this.#groups, errors: this.#errors };
    if (this.#parent !== undefined) this.#parent.#note(this, this.#groups, this.#errors);
    if (channels.scope.hasSubscribers) channels.scope.publish({ scope: this, report: this.#report });
    return this.#report;
  }

  /** Takes the members down in the order asked for. Who is down, or was released and is left alone, leaves `open`. */
  async #takeAll(open: Set<ProcessGroup | ProcessScope>): Promise<void> {
    const takeOne = async (member: ProcessGroup | ProcessScope) => {
      const down = member instanceof ProcessScope ? member.#end(this.#endedError()) : member[Symbol.asyncDispose]();
      const done = down.then(() => open.delete(member));
      // A turn later the dispose of a released group has resolved: it must not be killed.
      await Promise.race([done, this.#late.then(() => nextTurn())]);
      if (open.has(member)) void member.kill();
      await done;
    };
    const taken: Promise<void>[] = [];
    for (const member of [...open].reverse()) {
      const one = takeOne(member);
      taken.push(one);
      if (this.#order === 'reverse') await Promise.race([one, this.#late]);
    }
    await Promise.all([...taken, Promise.allSettled(this.#starting)]);
  }

  #noteGone(group: ProcessGroup, report: TeardownReport): void {
    const errors = report.empty ? [] : [survivorsError(group, report)];
    this.#note(group, [{ pid: group.pid, pgid: group.pgid, report }], errors);
  }

  #note(member: ProcessGroup | ProcessScope, groups: ScopeReport['groups'], errors: readonly Error[]): void {
    this.#members.delete(member);
    this.#errors.push(...errors);
    this.#groups.push(...groups.filter(({ report }) => !report.empty || this.signal.aborted));
  }

  #refuseEnded(): void {
    if (this.signal.aborted) throw this.#endedError();
  }

  #endedError(): Error {
    const { aborted, reason } = this.#interrupted.signal;
    const fields = { code: 'ERR_SCOPE_ENDED', stage: 'scope' };
    return new ProcessGroupError(`${this.name} has ended`, fields, aborted ? { cause: reason } : {});
  }
}

function follow(signal: AbortSignal, controller: AbortController): () => void {
  if (signal.aborted) controller.abort(signal.reason);
  return onAbort(signal, () => controller.abort(signal.reason));
}

function survivorsError(group: ProcessGroup, report: TeardownReport): ProcessGroupError {
  const who = report.survivors.map(({ pid, comm, state }) => `${pid} (${comm}, ${state})`).join(', ');
  const message = `process group ${group.pgid} was not emptied: ${who || 'its members cannot be seen'}`;
  return new ProcessGroupError(message, { code: 'ERR_SURVIVORS', stage: 'teardown' }, { cause: report });
}
