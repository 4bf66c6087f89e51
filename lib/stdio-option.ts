import type { Socket } from 'node:net';
import { fs } from './builtins.js';
import { onlyKnown } from './known-options.js';
import type { FileStdio, StdioOption } from './types.js';
import { integer, invalidType, invalidValue, path, record } from './validate.js';

/** StdioKind of native/core/spawn.h. */
enum Kind {
  Ignore = 0,
  Pipe = 1,
  Descriptor = 2,
  File = 3,
}
const MAX_ENTRIES = 256;
const DEFAULTS = ['ignore', 'pipe', 'inherit'] as const;
function fileFlags(): Record<string, number> {
  const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_SYNC } = fs().constants;
  return {
    r: O_RDONLY,
    rs: O_RDONLY | O_SYNC,
    'r+': O_RDWR,
    'rs+': O_RDWR | O_SYNC,
    w: O_TRUNC | O_CREAT | O_WRONLY,
    wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
    'w+': O_TRUNC | O_CREAT | O_RDWR,
    'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
    a: O_APPEND | O_CREAT | O_WRONLY,
    ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
    as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
    'a+': O_APPEND | O_CREAT | O_RDWR,
    'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  };
}

export interface StdioPlan {
  /** The number of entries, then kind, fd, flags and mode of each. */
  numbers: number[];
  /** Paths of the file entries, joined by NUL. */
  paths: string | null;
  /** The path of each entry that is a file, by stdio number: for error messages. */
  files: (string | undefined)[];
  /** True where an entry is a pipe. */
  piped: boolean;
  /** Streams that we would read beside the child. */
  lent: Socket[];
}

function descriptorOf(name: string, value: object, lent: Set<Socket>): number {
  const { fd, _handle } = value as { fd?: unknown; _handle?: { fd?: unknown; readStop?: unknown } | null };
  const found = typeof fd === 'number' ? fd : _handle?.fd;
  // As in Node: who has a number is given by number, and reads on.
  if (typeof fd !== 'number' && typeof _handle?.readStop === 'function') lent.add(value as Socket);
  if (typeof found !== 'number' || found < 0) {
    throw invalidValue(name, 'must be a stream with an open descriptor', value);
  }
  return found;
}

function fileEntry(name: string, entry: Partial<FileStdio>, index: number): [number, number, string] {
  onlyKnown(name, entry, { file: true, flags: true, mode: true });
  const flags = entry.flags ?? (index === 0 ? 'r' : 'w');
  if (typeof flags !== 'string') throw invalidType(`${name}.flags`, 'of type string', flags);
  const known = fileFlags();
  const bits = Object.hasOwn(known, flags) ? known[flags] : undefined;
  if (bits === undefined) throw invalidValue(`${name}.flags`, 'is not a file flag', flags);
  const mode = entry.mode === undefined ? 0o666 : integer(`${name}.mode`, entry.mode, 0, 0o7777);
  return [bits, mode, path(`${name}.file`, entry.file)];
}

export function normalizeStdio(option: StdioOption | undefined): StdioPlan {
  if (typeof option === 'string') {
    if (option !== 'pipe' && option !== 'ignore' && option !== 'inherit') {
      throw invalidValue('options.stdio', "must be 'pipe', 'ignore', 'inherit' or an array", option);
    }
  } else if (option !== undefined && !Array.isArray(option)) {
    throw invalidType('options.stdio', 'a string or an array', option);
  }
  const entries =
    typeof option === 'string' ? [option, option, option] : [...((option as unknown[] | undefined) ?? DEFAULTS)];
  while (entries.length < 3) entries.push(undefined);
  if (entries.length > MAX_ENTRIES)
    throw invalidValue('options.stdio', `must have at most ${MAX_ENTRIES} entries`, entries.length);

  const numbers = [entries.length];
  const paths: string[] = [];
  const files: (string | undefined)[] = [];
  const lent = new Set<Socket>();
  let piped = false;
  entries.forEach((given, i) => {
    const name = `options.stdio[${i}]`;
    const entry = given ?? DEFAULTS[i] ?? 'ignore';
    files.push(undefined);
    if (entry === 'ignore') numbers.push(Kind.Ignore, -1, 0, 0);
    else if (entry === 'pipe') {
      numbers.push(Kind.Pipe, -1, 0, 0);
      piped = true;
    } else if (entry === 'inherit') numbers.push(Kind.Descriptor, i, 0, 0);
    else if (typeof entry === 'number') numbers.push(Kind.Descriptor, integer(name, entry, 0, 0x7fffffff), 0, 0);
    else if (typeof entry === 'object' && Object.hasOwn(entry, 'file')) {
      const [flags, mode, file] = fileEntry(name, record(name, entry), i);
      numbers.push(Kind.File, -1, flags, mode);
      paths.push(file);
      files[i] = file;
    } else if (typeof entry === 'object') {
      numbers.push(Kind.Descriptor, descriptorOf(name, entry, lent), 0, 0);
    } else {
      throw invalidValue(name, "must be 'pipe', 'ignore', 'inherit', a descriptor, a stream or { file }", entry);
    }
  });
  return { numbers, paths: paths.length === 0 ? null : paths.join('\0'), files, piped, lent: [...lent] };
}
