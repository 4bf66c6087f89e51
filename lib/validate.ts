import { url, util } from './builtins.js';
import { ProcessGroupError } from './errors.js';

/** Whatever an inspect function of a user's does. */
function shown(value: unknown): string {
  try {
    return util().inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80);
  } catch {
    return typeof value;
  }
}

export function invalidType(name: string, expected: string, value: unknown): ProcessGroupError {
  return new ProcessGroupError(`The "${name}" argument must be ${expected}. Received ${shown(value)}`, {
    code: 'ERR_INVALID_ARG_TYPE',
    stage: 'validate',
  });
}

export function invalidValue(name: string, reason: string, value: unknown): ProcessGroupError {
  return new ProcessGroupError(`The argument '${name}' ${reason}. Received ${shown(value)}`, {
    code: 'ERR_INVALID_ARG_VALUE',
    stage: 'validate',
  });
}

export function outOfRange(name: string, range: string, value: unknown): ProcessGroupError {
  return new ProcessGroupError(
    `The value of "${name}" is out of range. It must be ${range}. Received ${shown(value)}`,
    {
      code: 'ERR_OUT_OF_RANGE',
      stage: 'validate',
    },
  );
}

/** A string without NUL: the kernel would cut it there. */
export function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  if (value.includes('\0')) throw invalidValue(name, 'must be a string without null bytes', value);
  return value;
}

export function path(name: string, value: unknown): string {
  if (value instanceof URL) {
    if (value.protocol !== 'file:') throw invalidValue(name, 'must be a file: URL', value);
    return text(name, localPath(name, value));
  }
  const result = text(name, value);
  if (result === '') throw invalidValue(name, 'cannot be empty', value);
  return result;
}

/** A host, or an encoded slash, is Node's own error. */
function localPath(name: string, value: URL): string {
  try {
    return url().fileURLToPath(value);
  } catch {
    throw invalidValue(name, 'must be a file: URL of a local path', value.href);
  }
}

export function integer(name: string, value: unknown, low: number, high: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < low || value > high) throw outOfRange(name, `>= ${low} && <= ${high}`, value);
  return value;
}

/** Milliseconds: finite or Infinity, not negative. */
export function duration(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number') throw invalidType(name, 'of type number (milliseconds)', value);
  if (!(value >= 0)) throw outOfRange(name, '>= 0', value);
  return value;
}

export function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[], fallback: T): T {
  if (value === undefined) return fallback;
  if (typeof value !== 'string') throw invalidType(name, `one of '${allowed.join("', '")}'`, value);
  if (!allowed.includes(value as T)) throw invalidValue(name, `must be one of '${allowed.join("', '")}'`, value);
  return value as T;
}

export function boolean(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value);
  return value;
}

/** undefined, or an instance of `type`. */
export function instance<T>(name: string, value: unknown, type: abstract new (...args: never[]) => T): T | undefined {
  if (value === undefined || value instanceof type) return value;
  throw invalidType(name, `an instance of ${type.name}`, value);
}

/** An object that a tampered Object.prototype gives nothing to. */
export const bare = <T extends object>(members: T): T => ({ __proto__: null, ...members }) as unknown as T;

/** By its shape: a plain object of another realm has another Object.prototype. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty');
}

/**
 * A copy of what `value` itself has, read once. What has another prototype than a plain object is refused: its inherited
 * members would be lost in the copy. So is what can be iterated, which was meant as a list.
 */
export function record(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || !isPlain(value) || Object.hasOwn(value, Symbol.iterator))
    throw invalidType(name, 'a plain object', value);
  return bare(value as Record<string, unknown>);
}

/** As Node takes an environment: with what it inherits, without what is undefined. */
export function flatEnv(env: unknown): Record<string, string> {
  if (typeof env !== 'object' || env === null || Symbol.iterator in env)
    throw invalidType('options.env', 'of type object', env);
  const flat = bare<Record<string, string>>({});
  for (const name in env) {
    const value = (env as Record<string, string | undefined>)[name];
    if (value !== undefined) flat[name] = value;
  }
  return flat;
}

/** How deep lists and objects lie in options: the `file` of an entry of `stdio`. */
const DEEPEST = 4;

/** Lists, plain objects and URLs copied, for what is read again after the call; all else is shared. */
export function snapshot<T>(value: T, depth = DEEPEST): T {
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  if (Array.isArray(value)) return value.map((entry) => snapshot(entry, depth - 1)) as T;
  if (value instanceof URL) return new URL(value) as T;
  if (!isPlain(value)) return value;
  const copy = bare<Record<string, unknown>>({});
  for (const [key, entry] of Object.entries(value)) copy[key] = snapshot(entry, depth - 1);
  return copy as T;
}

/** As snapshot(), of what spawn() takes. */
export function snapshotOptions<T extends { env?: unknown }>(options: T): T {
  const copy = snapshot(bare(options));
  if (options.env !== undefined) copy.env = flatEnv(options.env);
  return copy;
}
