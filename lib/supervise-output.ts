import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { ProcessGroup } from './process-group.js';
import type { Outcome } from './supervise-types.js';

/** Characters. A longer line is handed on in pieces of this length. */
const LONGEST_LINE = 65_536;

type Source = 'stdout' | 'stderr';

/** Calls what a user gave us: what it throws is an uncaught exception of its own, and no end of ours. */
export function callOut(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** The last bytes of a stream, in a ring that never grows. */
class Tail {
  #ring: Buffer;
  #total = 0;

  constructor(bytes: number) {
    this.#ring = Buffer.alloc(bytes);
  }

  get truncated(): boolean {
    return this.#total > this.#ring.length;
  }

  write(chunk: Buffer): void {
    this.#total += chunk.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - this.#ring.length));
    const head = kept.copy(this.#ring, (this.#total - kept.length) % this.#ring.length || 0);
    kept.copy(this.#ring, 0, head);
  }

  text(): string {
    if (!this.truncated) return this.#ring.toString('utf8', 0, this.#total);
    const at = this.#total % this.#ring.length || 0;
    const bytes = Buffer.concat([this.#ring.subarray(at), this.#ring.subarray(0, at)]);
    let start = 0; // behind the rest of a character that was cut
    while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
    return bytes.toString('utf8', start);
  }
}

/** One run's stdout and stderr: read without pause, so that a full pipe never holds the command up. */
export class RunOutput {
  readonly listeners = new Set<(line: string, source: Source) => void>();
  #tails: Tail[];

  constructor(group: ProcessGroup, tailBytes: number) {
    this.#tails = (['stdout', 'stderr'] as const).map((source) => {
      const tail = new Tail(tailBytes);
      this.#read(group[source] as Readable, tail, source);
      return tail;
    });
  }

  #read(stream: Readable, tail: Tail, source: Source): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    const emit = (line: string) => {
      for (const listener of this.listeners) callOut(() => listener(line, source));
    };
    stream.on('data', (chunk: Buffer) => {
      tail.write(chunk);
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) emit(line);
      for (; rest.length > LONGEST_LINE; rest = rest.slice(LONGEST_LINE)) emit(rest.slice(0, LONGEST_LINE));
    });
    stream.once('end', () => {
      rest += decoder.end();
      if (rest !== '') emit(rest);
    });
  }

  result(cut: boolean): NonNullable<Outcome['output']> {
    const [stdout, stderr] = this.#tails as [Tail, Tail];
    return { stdout: stdout.text(), stderr: stderr.text(), truncated: cut || stdout.truncated || stderr.truncated };
  }
}
