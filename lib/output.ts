import type { Readable } from 'node:stream';
import { type NamesOf, onlyKnown, SPAWN_NAMES } from './known-options.js';
import type { ProcessGroup } from './process-group.js';
import { unknownExit } from './report.js';
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
export function output(file: string, options: OutputOptions & { encoding: 'buffer' }): Promise<OutputResult<Buffer>>;
export function output(file: string, args?: readonly string[], options?: OutputOptions): Promise<OutputResult>;
export function output(file: string, options?: OutputOptions): Promise<OutputResult>;
export async function output(file: string, second?: unknown, third?: unknown): Promise<OutputResult<string | Buffer>> {
  const listed = Array.isArray(second) || second === undefined || second === null;
  const args: readonly string[] = listed ? (second ?? []) : [];
  const options: OutputOptions = record('options', (listed ? third : second) ?? {});
  onlyKnown('options', options, NAMES);
  const { maxBytes = DEFAULT_MAX_BYTES, encoding = 'utf8', input, ...spawnOptions } = options;
  integer('options.maxBytes', maxBytes, 0, Number.MAX_SAFE_INTEGER);
  if (encoding !== 'buffer' && !Buffer.isEncoding(encoding))
    throw invalidValue('options.encoding', 'is unknown', encoding);
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw invalidType('options.input', 'a string or a Uint8Array', input);
  }
  const given = spawnOptions.stdio;
  if (given !== undefined && typeof given !== 'string' && !Array.isArray(given))
    throw invalidType('options.stdio', 'a string or an array', given);
  const entries: StdioEntry[] = typeof given === 'string' ? [given, given, given] : [...(given ?? [])];
  const stdio = [
    entries[0] ?? (input === undefined ? 'ignore' : 'pipe'),
    entries[1] ?? 'pipe',
    entries[2] ?? 'pipe',
    ...entries.slice(3),
  ];
  if (input !== undefined && stdio[0] !== 'pipe')
    throw invalidValue('options.input', 'needs a pipe at stdio[0]', stdio[0]);
  const group: ProcessGroup = await spawn(file, args, { ...spawnOptions, stdio });
  const stdout = collect(group.stdout as Readable | null, maxBytes);
  const stderr = collect(group.stderr as Readable | null, maxBytes);
  if (input !== undefined) group.stdin?.end(input);
  // A leader that nobody can end does not exit, and its output does not end.
  const exit = await Promise.race([group.exited, group.gone.then(() => null)]);
  const truncated = exit === null || (await group.closed).truncated;
  const report = await group.stop();
  const text = ({ chunks }: Collected) => {
    const whole = Buffer.concat(chunks);
    return encoding === 'buffer' ? whole : whole.toString(encoding);
  };
  return {
    code: exit?.code ?? null,
    signal: exit?.signal ?? null,
    stdout: text(stdout),
    stderr: text(stderr),
    truncated: truncated || stdout.truncated || stderr.truncated,
    exit: exit ?? unknownExit(),
    report,
  };
}
