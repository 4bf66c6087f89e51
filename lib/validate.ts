import { url, util } from './builtins.js';
import { ProcessGroupError } from './errors.js';

const shown = (value: unknown): string =>
  util().inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80);

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
    return text(name, url().fileURLToPath(value));
  }
  const result = text(name, value);
  if (result === '') throw invalidValue(name, 'cannot be empty', value);
  return result;
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

export function record(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidType(name, 'of type object', value);
  return value as Record<string, unknown>;
}
