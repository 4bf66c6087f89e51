import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { ProcessGroup } from './process-group.js';
import type { Outcome } from './supervise-types.js';

/** A longer line is handed on in pieces of so many characters. */
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

/** One run's stdout and stderr: read without pause, so that a full pipe never holds the command up. */
export class RunOutput {
  readonly listeners = new Set<(line: string, source: Source) => void>();
  #tails = { stdout: '', stderr: '' };
  #tailChars: number;
  #truncated = false;

  constructor(group: ProcessGroup, tailChars: number) {
    this.#tailChars = tailChars;
    for (const source of ['stdout', 'stderr'] as const) this.#read(group[source] as Readable, source);
  }

  #read(stream: Readable, source: Source): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    const emit = (line: string) => {
      for (const listener of this.listeners) callOut(() => listener(line, source));
    };
    const take = (text: string) => {
      this.#tails[source] += text;
      if (this.#tails[source].length > 2 * this.#tailChars) this.#cut(source); // seldom: each cut copies
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) emit(line);
      for (; rest.length > LONGEST_LINE; rest = rest.slice(LONGEST_LINE)) emit(rest.slice(0, LONGEST_LINE));
    };
    stream.on('data', (chunk: Buffer) => take(decoder.write(chunk)));
    stream.once('end', () => {
      take(decoder.end());
      if (rest !== '') emit(rest);
    });
  }

  #cut(source: Source): void {
    const text = this.#tails[source];
    if (text.length <= this.#tailChars) return;
    this.#truncated = true;
    // Not between the halves of a character.
    this.#tails[source] = text.slice(text.length - this.#tailChars).replace(/^[\udc00-\udfff]/, '');
  }

  result(pipesCut: boolean): NonNullable<Outcome['output']> {
    this.#cut('stdout');
    this.#cut('stderr');
    return { ...this.#tails, truncated: this.#truncated || pipesCut };
  }
}
