import type { Socket } from 'node:net';
import type { Duplex, Readable, Writable } from 'node:stream';
import { fs, net } from './builtins.js';
import { isBun, openBunPipe } from './bun-pipe.js';
import { dropTicket, engine, hold, letGo, openTicket, Row } from './native.js';
import type { ClosedResult, Holder } from './types.js';

/** What setTimeout can count. */
const MAX_TIMEOUT = 0x7fffffff;

/** Called before the child is started, so that nothing is left to load between taking the descriptors and owning them. */
export function prepareStreams(): void {
  net();
}

/** Our ends of one child's pipes, by stdio number. */
export class ChildStreams {
  readonly stdio: (Readable | Writable | Duplex | null)[];
  readonly closed: Promise<ClosedResult>;
  #outputs: { socket: Socket; fd: number }[] = [];
  #open = 0;
  #exited = false;
  #result: ClosedResult = { truncated: false, heldBy: [] };
  #resolve!: (result: ClosedResult) => void;
  #drainMs: number;
  #timer: NodeJS.Timeout | undefined;
  #refed = true;

  constructor(fds: number[], count: number, drainMs: number) {
    this.#drainMs = drainMs;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.stdio = Array.from({ length: count }, (_, i) => {
      const fd = fds[i] ?? -1;
      if (fd < 0) return null;
      return i === 0 ? openInput(fd) : this.#openOutput(fd, i > 2);
    });
  }

  #openOutput(fd: number, duplex: boolean): Socket {
    const socket = openSocket(fd, true, duplex);
    this.#outputs.push({ socket, fd });
    this.#open++;
    let open = true;
    const ended = () => {
      if (!open) return;
      open = false;
      this.#open--;
      this.#settle();
    };
    socket.once('end', ended);
    socket.once('close', ended);
    if (duplex) socket.on('error', swallowBrokenPipe(socket));
    return socket;
  }

  /** The leader has ended: from now on drainMs counts, and what nobody reads is read and dropped. */
  leaderExited(): void {
    this.#exited = true;
    this.#settle();
    if (this.#open === 0) return;
    // Not in this turn: who awaits `exited` may still want to read.
    setImmediate(() => {
      for (const { socket } of this.#outputs) {
        if (socket.readableFlowing === null && socket.listenerCount('readable') === 0) socket.resume();
      }
    });
    this.#armDrain();
  }

  /** Nobody is left who could read our input. */
  groupGone(): void {
    this.stdio[0]?.destroy();
  }

  #armDrain(): void {
    if (this.#drainMs > MAX_TIMEOUT || this.#timer !== undefined) return; // 24 days and more: never
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#drainEnded();
    }, this.#drainMs);
    if (!this.#refed) this.#timer.unref();
  }

  /** A reader that is slower than the pipe is left alone: only what somebody else still holds open is cut. */
  async #drainEnded(): Promise<void> {
    for (const { socket, fd } of this.#outputs) {
      if (socket.destroyed || socket.readableEnded || socketEnded(socket)) continue;
      const holders = await holdersOf(fd);
      if (socket.destroyed || socket.readableEnded || socketEnded(socket)) continue;
      const reading = socket.readableLength < socket.readableHighWaterMark;
      if (holders.length === 0 && !reading) {
        this.#armDrain();
        continue;
      }
      this.#result.truncated = true;
      for (const holder of holders) {
        if (!this.#result.heldBy.some((known) => known.pid === holder.pid)) this.#result.heldBy.push(holder);
      }
      cut(socket);
    }
  }

  /** Cuts all of them off, and resolves when their descriptors are closed: a turn after destroy(). */
  async close(): Promise<void> {
    await Promise.all(
      this.stdio.map((stream) => {
        if (stream === null || stream.closed) return undefined;
        return new Promise((resolve) => stream.once('close', resolve).destroy());
      }),
    );
  }

  #settle(): void {
    if (!this.#exited || this.#open > 0) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#resolve(this.#result);
  }

  setRef(refed: boolean): void {
    this.#refed = refed;
    for (const stream of this.stdio) {
      // A destroyed one would wait for a 'connect' that never comes.
      if (stream === null || stream.destroyed) continue;
      if (refed) (stream as Socket).ref();
      else (stream as Socket).unref();
    }
    if (refed) this.#timer?.ref();
    else this.#timer?.unref();
  }
}

function openSocket(fd: number, readable: boolean, writable: boolean): Socket {
  if (isBun()) return openBunPipe(fd, readable, writable) as unknown as Socket;
  return new (net().Socket)({ fd, readable, writable });
}

function openInput(fd: number): Socket {
  const socket = openSocket(fd, false, true);
  socket.on('error', swallowBrokenPipe(socket));
  return socket;
}

/** A child that ends without reading its input is no reason to crash the supervisor. Listeners of one's own still hear of it. */
function swallowBrokenPipe(socket: Socket): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code === 'EPIPE' || error.code === 'ECONNRESET' || socket.listenerCount('error') > 1) return;
    throw error;
  };
}

/** True where the end has been read, though perhaps not consumed. */
function socketEnded(socket: Socket): boolean {
  return (socket as unknown as { _readableState?: { ended?: boolean } })._readableState?.ended === true;
}

/** Stops reading and ends the stream; what was already read is still delivered. */
function cut(socket: Socket): void {
  const handle = (socket as unknown as { _handle?: { readStop?: () => void } | null })._handle;
  if (typeof handle?.readStop !== 'function') {
    socket.destroy();
    return;
  }
  handle.readStop();
  const paused = socket.readableFlowing === false;
  socket.push(null);
  if (!paused) socket.resume();
}

/** Who else has the pipe open for writing. */
function holdersOf(fd: number): Promise<Holder[]> {
  let inode: number;
  try {
    inode = fs().fstatSync(fd).ino;
  } catch {
    return Promise.resolve([]);
  }
  const native = engine();
  hold();
  return new Promise((resolve) => {
    const ticket = openTicket((type, row) => {
      if (type !== Row.Holders) return;
      dropTicket(ticket);
      letGo();
      resolve(row.payload().holders);
    });
    native.holders(ticket, inode);
  });
}
