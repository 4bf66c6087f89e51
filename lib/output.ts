import type { Readable } from 'node:stream';
import { type NamesOf, onlyKnown, SPAWN_NAMES } from './known-options.js';
import type { ProcessGroup } from './process-group.js';
import { spawn } from './spawn.js';
import type { OutputOptions, OutputResult, StdioEntry } from './types.js';
import { integer, invalidType, invalidValue, record } from './validate.js';

const DEFAULT_MAX_BYTES = 1024 * 1024;
const NAMES: NamesOf<OutputOptions> = { ...SPAWN_NAMES, maxBytes: true, encoding: true, input: true };

interface Collected {
  chunks: Buffer[];
  bytes: number;
  truncated: boolean;
}

/** Reads to the end and keeps the first `maxBytes`: a child that prints more is not held up by a full pipe. */
function collect(stream: Readable | null, maxBytes: number): Collected {
  const kept: Collected = { chunks: [], bytes: 0, truncated: false };
  stream?.on('data', (chunk: Buffer) => {
    const room = maxBytes - kept.bytes;
    if (chunk.length > room) kept.truncated = true;
    const part = chunk.length > room ? chunk.subarray(0, room) : chunk;
    if (part.length > 0) kept.chunks.push(part);
    kept.bytes += part.length;
  });
  return kept;
}

/**
 * Runs a program, collects its stdout and stderr, and resolves when the leader has ended, its output has ended and the rest
 * of its group has been torn down. A non-zero exit is data. Rejects as spawn() does.
 */
export function output(
  file: string,
  args: readonly string[],
  options: OutputOptions & { encoding: 'buffer' },
): Promise<OutputResult<Buffer>>;
export function output(file: string, args?: readonly string[], options?: OutputOptions): Promise<OutputResult>;
export async function output(
  file: string,
  args: readonly string[] = [],
  options: OutputOptions = {},
): Promise<OutputResult<string | Buffer>> {
  onlyKnown('options', record('options', options), NAMES);
  if (!Array.isArray(args)) throw invalidType('args', 'an instance of Array', args);
  const { maxBytes = DEFAULT_MAX_BYTES, encoding = 'utf8', input, ...spawnOptions } = options;
  integer('options.maxBytes', maxBytes, 0, Number.MAX_SAFE_INTEGER);
  if (encoding !== 'buffer' && !Buffer.isEncoding(encoding))
    throw invalidValue('options.encoding', 'is unknown', encoding);
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw invalidType('options.input', 'a string or a Uint8Array', input);
  }
  const given = spawnOptions.stdio;
  const listed: StdioEntry[] = typeof given === 'string' ? [given, given, given] : [...(given ?? [])];
  const stdio = [
    listed[0] ?? (input === undefined ? 'ignore' : 'pipe'),
    listed[1] ?? 'pipe',
    listed[2] ?? 'pipe',
    ...listed.slice(3),
  ];
  const group: ProcessGroup = await spawn(file, args, { ...spawnOptions, stdio });
  const stdout = collect(group.stdout as Readable | null, maxBytes);
  const stderr = collect(group.stderr as Readable | null, maxBytes);
  if (input !== undefined) group.stdin?.end(input);
  const exit = await group.exited;
  const { truncated } = await group.closed;
  const report = await group.stop();
  const text = ({ chunks }: Collected) => {
    const whole = Buffer.concat(chunks);
    return encoding === 'buffer' ? whole : whole.toString(encoding);
  };
  return {
    code: exit.code,
    signal: exit.signal,
    stdout: text(stdout),
    stderr: text(stderr),
    truncated: truncated || stdout.truncated || stderr.truncated,
    exit,
    report,
  };
}
