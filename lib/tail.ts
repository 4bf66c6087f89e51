/** The last bytes of a stream. */
export class Tail {
  #limit: number;
  #chunks: Buffer[] = [];
  #held = 0;
  truncated = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  write(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    // Rarely, so that it costs little; soon enough that many small chunks do not weigh more than their bytes.
    if (this.#chunks.length < 64 && this.#held < 2 * this.#limit + 65_536) return;
    this.#chunks = [Buffer.from(this.#last())];
    this.#held = this.#chunks[0]?.length ?? 0;
  }

  #last(): Buffer {
    const cut = Math.max(0, this.#held - this.#limit);
    this.truncated ||= cut > 0;
    return Buffer.concat(this.#chunks).subarray(cut);
  }

  /** As UTF-8, without the rest of a character whose beginning was cut. */
  text(): string {
    const bytes = this.#last();
    const start = this.truncated ? bytes.findIndex((byte) => (byte & 0xc0) !== 0x80) : 0;
    return bytes.toString('utf8', Math.max(0, start));
  }
}
