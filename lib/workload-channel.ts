// Messages between a workload's process and the one that started it, over a socket that the former inherits.
import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';
import { util } from './builtins.js';
import { type Envelope, textOf } from './workload-envelope.js';
import { fault, type WorkloadError } from './workload-error.js';

/** The channel's number in the workload's process. */
export const CHANNEL_FD = 3;
/** What v8 can serialise into one buffer. */
export const MAX_MESSAGE_BYTES = 0x7fffffff;

/** The first three go to the workload, the others come from it. */
export type Message =
  | { kind: 'prepare'; preload: readonly string[]; limit: number }
  | { kind: 'call'; module: string; exportName: string; payload: unknown }
  | { kind: 'abort'; reason: Envelope }
  | { kind: 'ready' | 'begun' }
  | { kind: 'progress'; progress: unknown }
  | { kind: 'value'; result: unknown }
  | { kind: 'failure'; error: Envelope };

/** Bytes 'PGW1', then the length of the body in 32 bits, little-endian. */
const HEADER_BYTES = 8;
const MAGIC = 0x31574750;

/**
 * A message as structured clone: Map, Set, Date, BigInt, typed arrays, cycles. Throws ERR_WORKLOAD_UNCLONEABLE with the path
 * of what cannot be cloned, where it can be found; ERR_WORKLOAD_TOO_LARGE.
 */
export function frame(message: Message, limit = MAX_MESSAGE_BYTES): Buffer[] {
  let body: Buffer;
  try {
    body = serialize(message);
  } catch (cause) {
    throw uncloneable(findUncloneable(message) ?? { path: message.kind, cause });
  }
  const lost = body.includes(EMPTY_PART) ? findUncloneable(message) : undefined;
  if (lost !== undefined) throw uncloneable(lost);
  if (body.length > limit) throw tooLarge(body.length, limit);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC);
  header.writeUInt32LE(body.length, 4);
  return [header, body];
}

const tooLarge = (bytes: number, limit: number) =>
  fault('TOO_LARGE', `a message of ${bytes} bytes; maxMessageBytes is ${limit}`);

interface Uncloneable {
  path: string;
  cause: unknown;
}

function uncloneable({ path, cause }: Uncloneable): WorkloadError {
  return fault('UNCLONEABLE', `${path} cannot be cloned: ${textOf(cause).split('\n', 1)[0]}`, { path, cause });
}

const EMPTY_OBJECT = serialize({});
/** What v8 writes, after its header, where an object has no own fields. From Node 22 on it does so for a Blob, which it refused before. */
const EMPTY_PART = EMPTY_OBJECT.subarray(-3);

/** Throws where v8 cannot serialise it, or writes an empty object for what structured clone keeps or refuses. */
function tryAlone(value: unknown): void {
  if (!serialize(value).equals(EMPTY_OBJECT)) return;
  const kept: unknown = structuredClone(value);
  if (Object.getPrototypeOf(kept) === Object.prototype) return;
  throw new TypeError(`a ${(kept as object).constructor.name} would arrive empty`);
}

/** The first part that cannot be cloned by itself: 'payload.jobs.3.done'. A Map's parts are its entries. */
function findUncloneable(root: object): Uncloneable | undefined {
  const seen = new Set<unknown>();
  const rest: [value: unknown, path: string][] = [[root, '']];
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const [value, path] = next;
    if (seen.has(value)) continue;
    seen.add(value);
    try {
      const parted = typeof value === 'object' && !util().types.isProxy(value) && !ArrayBuffer.isView(value);
      const parts = parted
        ? Object.entries(util().types.isMap(value) || util().types.isSet(value) ? [...value] : (value as object))
        : [];
      if (parts.length === 0) tryAlone(value);
      for (const [key, part] of parts.reverse()) {
        const simple = part === null || !/object|function|symbol/.test(typeof part);
        if (!simple) rest.push([part, path === '' ? key : `${path}.${key}`]);
      }
    } catch (cause) {
      return { path, cause };
    }
  }
  return undefined;
}

export function send(channel: Duplex, [header, body]: Buffer[], sent?: () => void): void {
  channel.cork();
  channel.write(header);
  channel.write(body, sent);
  channel.uncork();
}

/**
 * Messages as they come; who does not ask for the next one holds up the sender. Holds one body and one chunk at most: a body
 * above `limit` is refused by its header. Throws ERR_WORKLOAD_PROTOCOL, ERR_WORKLOAD_TOO_LARGE, and at the stream's end.
 */
export async function* messages(channel: Duplex, limit = MAX_MESSAGE_BYTES): AsyncGenerator<Message, never> {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let length: number | undefined;
  // Closed by its owner: to close it here would end the process at the other end before its teardown can.
  for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    bytes += chunk.length;
    for (let needed = length ?? HEADER_BYTES; bytes >= needed; needed = length ?? HEADER_BYTES) {
      const all = chunks.length > 1 ? Buffer.concat(chunks) : (chunks[0] as Buffer);
      const part = all.subarray(0, needed);
      chunks = [all.subarray(needed)];
      bytes -= needed;
      if (length !== undefined) {
        length = undefined;
        yield unpack(part);
      } else {
        length = part.readUInt32LE(4);
        if (part.readUInt32LE() !== MAGIC) throw fault('PROTOCOL', 'bytes on the channel that are no message');
        if (length > limit) throw tooLarge(length, limit);
      }
    }
  }
  throw new Error(`the channel ended ${bytes > 0 || length !== undefined ? 'in the middle of' : 'after'} a message`);
}

function unpack(body: Buffer): Message {
  try {
    const message = deserialize(body) as Message;
    if (typeof message.kind === 'string') return message;
  } catch {}
  throw fault('PROTOCOL', 'a message on the channel that cannot be read');
}
