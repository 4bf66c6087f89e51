import { deserialize, serialize } from 'node:v8';
import { util } from './builtins.js';
import { WorkloadError } from './workload-error.js';

/** An error by its number, an array with errors in it, a serialised value, the text of what cannot be serialised. */
type Encoded = { error: number } | { list: Encoded[] } | { bytes: Uint8Array } | { text: string };
type Field = [key: string, enumerable: boolean, value: Encoded];

/** What was thrown. v8 serialisation drops own fields and AggregateError's errors; this keeps them, with causes and cycles. */
export interface Envelope {
  root: Encoded;
  errors: { base: string; name: string; message: string; stack: string; fields: Field[] }[];
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
const isError = (value: unknown): value is Error => util().types.isNativeError(value) || value instanceof Error;

/** Whatever user code does in a getter or in an inspect function. */
function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

/** A field that cannot be cloned becomes its text. */
export function encodeThrown(thrown: unknown): Envelope {
  const numbers = new Map<Error, number>();
  const encode = (value: unknown): Encoded => {
    if (isError(value)) {
      const error = numbers.get(value) ?? numbers.size;
      numbers.set(value, error);
      return { error };
    }
    if (Array.isArray(value) && value.some(isError)) return { list: value.map(encode) };
    const text = () => attempt(() => util().inspect(value, { depth: 1 }).slice(0, 2_000), '[unreadable]');
    return attempt<Encoded | null>(() => ({ bytes: serialize(value) }), null) ?? { text: text() };
  };
  const envelope: Envelope = { root: encode(thrown), errors: [] };
  // Causes that are met on the way join the map, and with it the loop.
  for (const error of numbers.keys()) {
    const read = (key: string): unknown => attempt(() => error[key as 'name'], '[unreadable]');
    const encodeField = (key: string): Field => [key, Object.keys(error).includes(key), encode(read(key))];
    const [name, message, stack] = [String(read('name')), String(read('message')), String(read('stack'))];
    const base = Object.entries(BASES).find(([, one]) => error instanceof one)?.[0] ?? 'Error';
    const keys = Object.getOwnPropertyNames(error).filter((key) => key !== 'message' && key !== 'stack');
    envelope.errors.push({ base, name, message, stack, fields: keys.map(encodeField) });
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
export function decodeThrown({ root, errors }: Envelope): unknown {
  const made = errors.map(make);
  const decode = (value: Encoded): unknown => {
    if ('error' in value) return made[value.error];
    if ('list' in value) return value.list.map(decode);
    return 'bytes' in value ? deserialize(value.bytes) : value.text;
  };
  made.forEach((error, i) => {
    for (const [key, enumerable, value] of errors[i]?.fields ?? []) {
      Object.defineProperty(error, key, { value: decode(value), enumerable, writable: true, configurable: true });
    }
  });
  return decode(root);
}
