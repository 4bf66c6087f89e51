import type { Readable, Stream, Writable } from 'node:stream';
import type { ProcessGroup } from './process-group.js';

/** A file that the child has open instead of a pipe. It is opened before the child is started. */
export interface FileStdio {
  /** Path or file URL, opened before the child is made; its errors have stage 'stdio'. open(2). */
  file: string | URL;
  /** As in fs.open: 'r', 'r+', 'w', 'wx', 'w+', 'a', 'ax', 'a+' ... (default: 'r' for fd 0, 'w' otherwise). */
  flags?: string;
  /** Mode of a file that is created (default 0o666, subject to the umask). */
  mode?: number;
}

/**
 * One descriptor of the child. A number or a stream: a descriptor of ours. Null and undefined: as in the default. A socket, or
 * another group's output, is not read by us any more; what we have read before stays in the stream.
 */
export type StdioEntry = 'pipe' | 'ignore' | 'inherit' | number | Stream | FileStdio | null | undefined;
/** A word for 0, 1 and 2, or an entry for each number. */
export type StdioOption = 'pipe' | 'ignore' | 'inherit' | readonly StdioEntry[];

type DefaultEntry<N extends number> = N extends 0 ? 'ignore' : N extends 1 ? 'pipe' : 'inherit';
type OrDefault<E, N extends number> = E extends null | undefined ? DefaultEntry<N> : E;
type Entry<S extends StdioOption, N extends number> = S extends 'pipe' | 'ignore' | 'inherit'
  ? S
  : S extends readonly StdioEntry[]
    ? number extends S['length']
      ? StdioEntry
      : `${N}` extends keyof S
        ? OrDefault<S[`${N}` & keyof S], N>
        : DefaultEntry<N>
    : StdioEntry;
type Piped<E, T> = [E] extends ['pipe'] ? T : 'pipe' extends E ? T | null : null;

/** The type of the stream that follows from the stdio literal, for descriptor 0. */
export type StdinOf<S extends StdioOption> = Piped<Entry<S, 0>, Writable>;
/** As StdinOf, for descriptor 1. */
export type StdoutOf<S extends StdioOption> = Piped<Entry<S, 1>, Readable>;
/** As StdinOf, for descriptor 2. */
export type StderrOf<S extends StdioOption> = Piped<Entry<S, 2>, Readable>;
/** The handle that spawn() gives for this stdio. */
export type Spawned<S extends StdioOption> = ProcessGroup<StdinOf<S>, StdoutOf<S>, StderrOf<S>>;
/** The stdio of a spawn that names none. */
export type DefaultStdio = readonly ['ignore', 'pipe', 'inherit'];
