import { setTimeout as delay } from 'node:timers/promises';
import { util } from './builtins.js';
import { AbortError } from './errors.js';
import { type HelperDefinition, HelperError, type HelperLease, type Plan, planHelper } from './helper-plan.js';
import { callers, HelperLife, lives, printAtExit, type Stack } from './helper-report.js';
import { onlyKnown } from './known-options.js';
import type { ProcessGroup } from './process-group.js';
import { spawn } from './spawn.js';
import type { DefaultStdio, Spawned, StdioOption } from './types.js';
import { timer, untilAborted } from './until-aborted.js';
import { instance, invalidType, invalidValue, record, text } from './validate.js';

export { type HelperDefinition, HelperError, type HelperLease, type HelperSpawnOptions } from './helper-plan.js';
export { type HelperInfo, helpers, report, reportOn } from './helper-report.js';

/** What one user's acquire() takes. */
export interface AcquireOptions {
  /** Takes one user's wait back, with AbortError; what others wait for goes on. */
  signal?: AbortSignal;
}

/** What `ready` rejects with may be anything, also what cannot become text. */
function textOf(error: unknown): string {
  try {
    return String(error);
  } catch {
    return typeof error;
  }
}

/** How long a failed `ready` waits for the news that the process has ended. */
const EXIT_NEWS_MS = 100;
const abortError = (reason: unknown) => new AbortError(reason);
const registry = new Map<string, { helper: SharedHelper<unknown>; plan: Plan<unknown>; definedAt: Stack }>();

/**
 * The helper of this key in this thread, made at the first call; nothing is started before the first use. Throws
 * ERR_HELPER_CONFLICT where the key stands for another definition, until that is closed: options are compared by their
 * contents, `ready` and `owner` by identity, so define `ready` outside of a function that is called again and again. Throws
 * ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE; ERR_SCOPE_ENDED for an owner that has ended.
 */
export function sharedHelper<const S extends StdioOption = DefaultStdio, T = Spawned<S>>(
  key: string,
  definition: HelperDefinition<S, T>,
): SharedHelper<T> {
  if (text('key', key) === '') throw invalidValue('key', 'cannot be empty', key);
  const plan = planHelper(definition as unknown as HelperDefinition);
  const known = registry.get(key);
  if (known !== undefined) {
    const other = (Object.keys(plan) as (keyof typeof plan)[]).find((name) =>
      name === 'owner' ? plan.owner !== known.plan.owner : !util().isDeepStrictEqual(plan[name], known.plan[name]),
    );
    if (other === undefined) return known.helper as SharedHelper<T>;
    throw new HelperError(
      key,
      'ERR_HELPER_CONFLICT',
      `is defined with another '${other}' already\n${callers(known.definedAt)}`,
    );
  }
  const definedAt = stackOf(sharedHelper);
  const helper = new SharedHelper<T>(key, plan as Plan<T>, definedAt);
  registry.set(key, { helper: helper as SharedHelper<unknown>, plan, definedAt });
  printAtExit();
  return helper;
}

/** The callers of `callee`; V8 makes text of them when it is asked for. */
function stackOf(callee: (...args: never[]) => unknown): Stack {
  const stack = {} as Stack;
  Error.captureStackTrace(stack, callee);
  return stack;
}

/** A lazily started process that all users of a key share. Made by sharedHelper(). */
export class SharedHelper<T> implements AsyncDisposable {
  readonly key: string;
  #plan: Plan<T>;
  #definedAt: Stack;
  #life: HelperLife | undefined;
  #closed: HelperError | undefined;
  /** The end of the process before: the next one may need its port. */
  #before: Promise<unknown> = Promise.resolve();
  #failures = 0;
  #notBefore = 0;
  #onOwnerEnd = () => void this.close();

  /** @internal */
  constructor(key: string, plan: Plan<T>, definedAt: Stack) {
    this.key = key;
    this.#plan = plan;
    this.#definedAt = definedAt;
    plan.owner?.signal.addEventListener('abort', this.#onOwnerEnd, { once: true });
  }

  /**
   * Starts the helper where it does not run, and resolves when it is ready; all who wait share one start. Rejects with
   * what spawn() rejected with, or a HelperError. A failure is not kept: the next call starts anew, after the back-off.
   */
  async acquire(options: AcquireOptions = {}): Promise<HelperLease<T>> {
    const given: AcquireOptions = record('options', options);
    onlyKnown('options', given, { signal: true });
    const { signal } = given;
    instance('options.signal', signal, AbortSignal);
    if (signal?.aborted) throw new AbortError(signal.reason);
    if (this.#closed !== undefined) throw this.#closed;
    const user = stackOf(this.acquire);
    this.#life ??= this.#start(user);
    const life = this.#life;
    const release = () => {
      if (life.users.delete(user)) this.#rest(life);
    };
    life.users.add(user);
    this.#rest(life);
    try {
      const value = (await untilAborted(() => life.up, signal, abortError)) as T;
      life.ending.signal.throwIfAborted();
      const group = life.group as ProcessGroup;
      return { value, group, signal: life.ending.signal, release, [Symbol.dispose]: release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Acquires, calls `work`, and releases when that has settled. Rejects as acquire() and `work` do; with ERR_HELPER_DIED or
   * ERR_HELPER_CLOSED where the helper ends before `work` has settled.
   */
  async use<R>(work: (value: T, signal: AbortSignal) => R | PromiseLike<R>, options?: AcquireOptions): Promise<R> {
    if (typeof work !== 'function') throw invalidType('work', 'of type function', work);
    const { value, signal, release } = await this.acquire(options);
    return await untilAborted(() => work(value, signal), signal).finally(release);
  }

  /** Tears it down and frees the key; acquire() rejects from now on. Resolves when it is gone, and never rejects. */
  async close(): Promise<void> {
    this.#closed ??= new HelperError(this.key, 'ERR_HELPER_CLOSED', 'is closed');
    if (registry.get(this.key)?.helper === (this as SharedHelper<unknown>)) registry.delete(this.key);
    this.#plan.owner?.signal.removeEventListener('abort', this.#onOwnerEnd);
    if (this.#life !== undefined) this.#end(this.#life, this.#closed);
    await this.#before;
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(startedAt: Stack): HelperLife {
    const life = new HelperLife(this.key, [this.#plan.file, ...this.#plan.args], this.#definedAt, startedAt);
    life.up = this.#bringUp(life, life.ending.signal);
    // Perhaps all who wait have left.
    life.up.catch(() => {});
    return life;
  }

  async #bringUp(life: HelperLife, signal: AbortSignal): Promise<T> {
    const { file, args, owner, ready, startMs } = this.#plan;
    // It cancels a spawn that is under way when the helper is closed.
    const options = { ...this.#plan.spawn, signal };
    let deadline: NodeJS.Timeout | undefined;
    try {
      await untilAborted(() => this.#before, signal);
      const backoffMs = this.#notBefore - performance.now();
      if (backoffMs > 0) await delay(backoffMs, undefined, { signal });
      const group = owner ? await owner.spawn(file, args, options) : await spawn(file, args, options);
      life.group = group;
      life.spawnedAt = performance.now();
      signal.throwIfAborted();
      void group.exited.then((exit) => {
        const starting = life.state === 'starting';
        const message = `ended with ${exit.signal ?? exit.code}${starting ? ' before it was ready' : ''}`;
        this.#end(
          life,
          new HelperError(this.key, starting ? 'ERR_HELPER_START' : 'ERR_HELPER_DIED', message, { exit }),
        );
      });
      deadline = timer(startMs, () => {
        this.#end(life, new HelperError(this.key, 'ERR_HELPER_START', `was not ready within ${startMs} ms`));
      });
      const value = await untilAborted(() => ready(group, signal), signal);
      for (const stream of [group.stdout, group.stderr]) {
        if (stream?.listenerCount('data') === 0 && stream.listenerCount('readable') === 0) stream.resume();
      }
      life.state = 'busy';
      this.#rest(life);
      return value;
    } catch (error) {
      // The end of its output comes before the news of its exit, which tell more.
      if (life.group !== undefined) await delay(EXIT_NEWS_MS, undefined, { signal }).catch(() => {});
      const why = new HelperError(this.key, 'ERR_HELPER_START', `could not be made ready: ${textOf(error)}`, {
        cause: error,
      });
      this.#end(life, life.group === undefined ? error : why);
      throw signal.reason;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** With a user it keeps the event loop alive. Without one it does not, and its idle time runs. */
  #rest(life: HelperLife): void {
    if (life.state === 'starting' || life.state === 'stopping') return;
    clearTimeout(life.idle);
    life.state = life.users.size > 0 ? 'busy' : 'idle';
    if (life.state === 'busy') life.group?.ref();
    else {
      life.group?.unref();
      if (this.#plan.idleMs === Number.POSITIVE_INFINITY) return;
      life.idle = timer(this.#plan.idleMs, () => this.#end(life, null)).unref();
    }
  }

  /** Ends this life, once. `why` is null where it was idle for long enough. */
  #end(life: HelperLife, why: unknown): void {
    if (life.ending.signal.aborted) return;
    clearTimeout(life.idle);
    const { backoffMs, maxBackoffMs } = this.#plan;
    const healthy = life.state !== 'starting' && performance.now() - life.spawnedAt >= maxBackoffMs;
    this.#failures = why === null || why === this.#closed || healthy ? 0 : this.#failures + 1;
    const delayMs = this.#failures === 0 ? 0 : Math.min(maxBackoffMs, backoffMs * 2 ** (this.#failures - 1));
    this.#notBefore = performance.now() + delayMs * (0.5 + Math.random() / 2);
    if (this.#life === life) this.#life = undefined;
    life.state = 'stopping';
    life.ending.abort(why ?? new HelperError(this.key, 'ERR_HELPER_CLOSED', 'was idle'));
    const before = this.#before;
    const down = async () => {
      await before;
      await life.up.catch(() => {});
      await life.group?.[Symbol.asyncDispose]();
      lives.delete(life);
    };
    this.#before = down();
  }
}
