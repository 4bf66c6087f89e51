import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { warn } from './print.js';

const { O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
const STUCK_MS = 2_000;
const RETRY_MS = 10;

/**
 * Where the report goes. A path that cannot be opened is refused before the command starts; whatever goes wrong later (a
 * full disk, a reader that left) is one line on stderr and changes no exit status.
 */
export class ReportFile {
  readonly #path: string;
  #fd: number | null;

  constructor(path: string) {
    this.#path = path;
    this.#fd = this.#open();
  }

  /** null for a FIFO that nobody reads yet: it is tried again when there is something to write. */
  #open(): number | null {
    try {
      // Non-blocking: a FIFO without a reader, or one that is full, must not stop this process.
      return openSync(this.#path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0o666);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENXIO') return null;
      throw new Error(`cannot open the report: ${(error as Error).message}`);
    }
  }

  async write(report: object): Promise<void> {
    try {
      const fd = this.#fd ?? this.#open();
      if (fd === null) throw new Error('nobody reads it');
      this.#fd = null;
      try {
        truncate(fd);
        await writeAll(fd, Buffer.from(`${JSON.stringify(report)}\n`));
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      warn(`procgroup run: the report was not written to ${this.#path}: ${(error as Error).message}`);
    }
  }
}

/** An older, longer report must not show through. A pipe or a device cannot be cut. */
function truncate(fd: number): void {
  try {
    ftruncateSync(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  }
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  const deadline = performance.now() + STUCK_MS;
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > deadline) throw error;
      await delay(RETRY_MS);
    }
  }
}
