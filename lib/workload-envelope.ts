import { deserialize, serialize } from 'node:v8';
import { util } from './builtins.js';
import { WorkloadError } from './workload-error.js';

/** An error, or an array with errors in it, by its number; a serialised value; the text of what cannot be serialised. */
type Encoded = { error: number } | { list: number } | { bytes: Uint8Array } | { text: string };
type Field = [key: string, enumerable: boolean, value: Encoded];

/** What was thrown. v8 serialisation drops own fields and AggregateError's errors; this keeps them, with causes and cycles. */
export interface Envelope {
  root: Encoded;
  errors: { base: string; name: string; message: string; stack: string; fields: Field[] }[];
  lists: Encoded[][];
}

/** The first of these that an error derives from is what it becomes on the other side. */
const BASES = {
  WorkloadError,
  AggregateError,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  DOMException,
};
const isError = (value: unknown): value is Error =>
  attempt(() => util().types.isNativeError(value) || value instanceof Error, false);
const hasErrors = (value: unknown): boolean => attempt(() => Array.isArray(value) && value.some(isError), false);

/** Whatever user code does in a getter, in an inspect function or in a proxy. */
function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

/** Whatever it is: what cannot become text is shown as inspect() does. */
export function textOf(value: unknown): string {
  const shown = () => attempt(() => util().inspect(value, { depth: 1 }), '[unreadable]');
  return attempt<string | null>(() => String(value), null) ?? shown();
}

/** A field that cannot be cloned becomes its text. Never throws. */
export function encodeThrown(thrown: unknown): Envelope {
  const known = new Map<unknown, Encoded>();
  const counts = { error: 0, list: 0 };
  const remember = (value: unknown, encoded: Encoded): Encoded => {
    known.set(value, encoded);
    return encoded;
  };
  const encode = (value: unknown): Encoded => {
    const met = known.get(value);
    if (met !== undefined) return met;
    if (isError(value)) return remember(value, { error: counts.error++ });
    if (hasErrors(value)) return remember(value, { list: counts.list++ });
    const text = () => attempt(() => util().inspect(value, { depth: 1 }).slice(0, 2_000), '[unreadable]');
    return attempt<Encoded | null>(() => ({ bytes: serialize(value) }), null) ?? { text: text() };
  };
  const encodeError = (error: Error): Envelope['errors'][number] => {
    const read = (key: string): unknown => attempt(() => error[key as 'name'], '[unreadable]');
    const enumerable = new Set(attempt(() => Object.keys(error), []));
    const names = attempt(() => Object.getOwnPropertyNames(error), []);
    const keys = names.filter((key) => key !== 'message' && key !== 'stack');
    const [name = '', message = '', stack = ''] = ['name', 'message', 'stack'].map((key) => textOf(read(key)));
    const base =
      attempt(() => Object.entries(BASES).find(([, one]) => error instanceof one)?.[0], undefined) ?? 'Error';
    return { base, name, message, stack, fields: keys.map((key) => [key, enumerable.has(key), encode(read(key))]) };
  };
  const envelope: Envelope = { root: encode(thrown), errors: [], lists: [] };
  // Causes and lists that are met on the way join the map, and with it the loop.
  for (const [value, encoded] of known) {
    if ('error' in encoded) envelope.errors.push(encodeError(value as Error));
    else envelope.lists.push(attempt(() => Array.from(value as unknown[]), []).map(encode));
  }
  return envelope;
}

function make({ base, name, message, stack }: Envelope['errors'][number]): Error {
  const error = base === 'DOMException' ? new DOMException(message, name) : new Error(message);
  const prototype = Object.hasOwn(BASES, base) ? BASES[base as keyof typeof BASES].prototype : Error.prototype;
  Object.setPrototypeOf(error, prototype);
  Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true });
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, writable: true, configurable: true });
  return error;
}

/** Throws whatever a malformed envelope leads to. */
export function decodeThrown({ root, errors, lists }: Envelope): unknown {
  const made = errors.map(make);
  const filled: unknown[][] = lists.map(() => []);
  const decode = (value: Encoded): unknown => {
    if ('error' in value) return made[value.error];
    if ('list' in value) return filled[value.list];
    return 'bytes' in value ? deserialize(value.bytes) : value.text;
  };
  lists.forEach((list, i) => {
    for (const value of list) filled[i]?.push(decode(value));
  });
  made.forEach((error, i) => {
    for (const [key, enumerable, value] of errors[i]?.fields ?? []) {
      Object.defineProperty(error, key, { value: decode(value), enumerable, writable: true, configurable: true });
    }
  });
  return decode(root);
}
