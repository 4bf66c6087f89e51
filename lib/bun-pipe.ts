import type { Duplex } from 'node:stream';
import { fs, stream } from './builtins.js';

/** What is used of Bun: https://bun.sh/docs/api/file-io */
interface BunFile {
  stream(): ReadableStream<Uint8Array>;
  writer(): { write(chunk: Uint8Array): unknown; flush(): unknown; end(): unknown };
}

const bun = (): { file(fd: number): BunFile } | undefined =>
  (globalThis as { Bun?: { file(fd: number): BunFile } }).Bun;

export const isBun = (): boolean => bun() !== undefined;

/**
 * A pipe's descriptor as a stream, under Bun: its net.Socket takes none, and its fs does not wait for a pipe. Owns the descriptor.
 * Whether it keeps the event loop alive is Bun's affair: ref() and unref() do nothing. end() of one that is also readable does not
 * reach the other side before destroy(), since nothing there shuts down one direction.
 */
export function openBunPipe(fd: number, readable: boolean, writable: boolean): Duplex & { ref(): void; unref(): void } {
  const file = (bun() as NonNullable<ReturnType<typeof bun>>).file(fd);
  const reader = readable ? file.stream().getReader() : undefined;
  const sink = writable ? file.writer() : undefined;
  const { Duplex } = stream();
  const pipe = new Duplex({
    ...({ readable, writable } as object), // @types/node does not know them
    read() {
      reader?.read().then(
        ({ done, value }) => this.push(done ? null : value),
        (error: Error) => this.destroy(error),
      );
    },
    write(chunk: Uint8Array, _encoding, callback) {
      flushed(() => {
        sink?.write(chunk);
        return sink?.flush();
      }, callback);
    },
    final(callback) {
      flushed(() => sink?.end(), callback);
    },
    destroy(error, callback) {
      // What was not written yet is lost, as with a socket.
      void reader?.cancel().catch(() => {});
      flushed(
        () => sink?.end(),
        () => {
          fs().closeSync(fd);
          callback(error);
        },
      );
    },
  });
  return Object.assign(pipe, { ref() {}, unref() {} });
}

function flushed(action: () => unknown, callback: (error?: Error | null) => void): void {
  new Promise((resolve) => resolve(action())).then(
    () => callback(),
    (error: Error) => callback(error),
  );
}
