import { PassThrough } from 'node:stream';

/** What a workload tells while it runs: kept from the first iterator on, and delivered also after the run has ended. */
export class ProgressQueue<T = unknown> implements AsyncIterable<T> {
  #values = new PassThrough({ objectMode: true });
  #run: Promise<unknown> | undefined;
  #read = false;

  follow(run: Promise<unknown>): void {
    this.#run = run;
    const end = () => this.#values.end();
    run.then(end, end);
  }

  /** Waits while the reader is behind. */
  async push(value: T): Promise<void> {
    if (!this.#read || this.#values.destroyed) return;
    await new Promise<void>((resolve) => this.#values.write([value], () => resolve()));
  }

  /** Holds nobody up any more. */
  close(): void {
    this.#values.destroy();
  }

  [Symbol.asyncIterator](): AsyncGenerator<T, void> {
    this.#read = true;
    // The iterator tells the error: a run that is awaited after the loop is not unhandled meanwhile.
    this.#run?.catch(() => {});
    return this.#iterate();
  }

  async *#iterate(): AsyncGenerator<T, void> {
    try {
      for await (const [value] of this.#values) yield value;
    } catch {
      // Closed: the run tells why.
    }
    await this.#run;
  }
}
