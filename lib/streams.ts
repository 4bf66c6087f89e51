import type { Socket } from 'node:net';
import type { Duplex, Readable, Writable } from 'node:stream';
import { fs, net } from './builtins.js';
import { isBun, openBunPipe } from './bun-pipe.js';
import { type Lending, onLending } from './lent-streams.js';
import { dropTicket, engine, hold, letGo, openTicket, Row } from './native.js';
import type { ClosedResult, Holder } from './types.js';

/** What setTimeout can count. */
const MAX_TIMEOUT = 0x7fffffff;
/** Between two looks at who holds a pipe: each reads all of /proc. */
const LONGEST_PAUSE_MS = 1_000;
/** What the kernel lets anybody make of a pipe: fs.pipe-max-size. */
const LARGEST_PIPE = 1 << 20;

interface Output {
  socket: Socket;
  fd: number;
  ended: boolean;
  /** Children that are being started, or were, with this as a descriptor of their own. */
  lent: number;
  given: number;
}

/** Called before the child is started, so that nothing is left to load between taking the descriptors and owning them. */
export function prepareStreams(): void {
  net();
}

/** Our ends of one child's pipes, by stdio number. */
export class ChildStreams {
  readonly stdio: (Readable | Writable | Duplex | null)[];
  readonly closed: Promise<ClosedResult>;
  #outputs: Output[] = [];
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
    this.stdio = [];
    try {
      for (let i = 0; i < count; i++) {
        const fd = fds[i] ?? -1;
        this.stdio.push(fd < 0 ? null : i === 0 ? openInput(fd) : this.#openOutput(fd, i > 2));
      }
    } catch (error) {
      // A socket closes its own; the one that failed has not taken its descriptor.
      for (const fd of fds.slice(this.stdio.length)) if (fd >= 0) fs().closeSync(fd);
      for (const stream of this.stdio) stream?.destroy();
      throw error;
    }
  }

  #openOutput(fd: number, duplex: boolean): Socket {
    const socket = openSocket(fd, true, duplex);
    const output: Output = { socket, fd, ended: false, lent: 0, given: 0 };
    this.#outputs.push(output);
    const ended = () => {
      output.ended = true;
      this.#settle();
    };
    socket.once('end', ended);
    socket.once('close', ended);
    onLending(socket, (step) => this.#lendingTold(output, step));
    if (duplex) socket.on('error', swallowBrokenPipe(socket));
    return socket;
  }

  /** What another child reads is not ours to read any more: that output counts as ended. */
  #lendingTold(output: Output, step: Lending): void {
    if (step === 'lent') output.lent++;
    else if (step === 'returned') output.lent--;
    else output.given++;
    this.#settle();
    if (this.#exited) setImmediate(() => this.#leaveUnread());
  }

  /** The leader has ended: from now on drainMs counts, and what nobody reads is read and dropped. */
  leaderExited(): void {
    this.#exited = true;
    this.#settle();
    // Not in this turn: who awaits `exited` may still want to read.
    setImmediate(() => this.#leaveUnread());
    if (this.#open()) this.#armDrain(this.#drainMs);
  }

  #leaveUnread(): void {
    for (const { socket, lent, given } of this.#outputs) {
      if (lent > 0) {
        if (lent === given) socket.destroy();
      } else if (socket.readableFlowing === null && socket.listenerCount('readable') === 0) socket.resume();
    }
  }

  #open(): boolean {
    return this.#outputs.some(({ ended, given }) => !ended && given === 0);
  }

  /** Nobody is left who could read our input. */
  groupGone(): void {
    this.stdio[0]?.destroy();
  }

  #armDrain(ms: number): void {
    if (ms > MAX_TIMEOUT) return; // 24 days and more: never
    this.#timer = setTimeout(() => void this.#drainEnded(ms), ms);
    if (!this.#refed) this.#timer.unref();
  }

  /** A reader that is slower than the pipe is left alone: only what somebody else still holds open is cut. */
  async #drainEnded(ms: number): Promise<void> {
    for (const output of this.#outputs) {
      const { socket, fd } = output;
      if (!cuttable(output)) continue;
      const holders = await holdersOf(fd);
      if (!cuttable(output)) continue;
      const reading = socket.readableLength < socket.readableHighWaterMark;
      if ((holders.length === 0 && !reading) || cut(socket, fd)) continue;
      this.#result.truncated = true;
      for (const holder of holders) {
        if (!this.#result.heldBy.some((known) => known.pid === holder.pid)) this.#result.heldBy.push(holder);
      }
    }
    const again = this.#outputs.some((output) => output.lent > output.given || cuttable(output));
    if (again) this.#armDrain(Math.max(this.#drainMs, Math.min(2 * ms || 1, LONGEST_PAUSE_MS)));
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
    if (!this.#exited || this.#open()) return;
    clearTimeout(this.#timer);
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

/** False where the end has been read, though perhaps not consumed, and where the stream is another child's to read. */
function cuttable({ socket, lent }: Output): boolean {
  const state = (socket as unknown as { _readableState?: { ended?: boolean } })._readableState;
  return lent === 0 && !socket.destroyed && !socket.readableEnded && state?.ended !== true;
}

/**
 * Stops reading and ends the stream. What was read already, and what is in the pipe at this moment, is still delivered. True
 * where that was all, since nobody has the pipe open any more.
 */
function cut(socket: Socket, fd: number): boolean {
  const handle = (socket as unknown as { _handle?: { readStop?: () => void } | null })._handle;
  if (typeof handle?.readStop !== 'function') {
    socket.destroy();
    return false;
  }
  handle.readStop();
  const { rest, ended } = readRest(fd);
  // In turns of their own: a listener that throws is an uncaught exception, and the end is told all the same.
  if (rest.length > 0) process.nextTick(() => socket.push(rest));
  process.nextTick(() => {
    const paused = socket.readableFlowing === false;
    socket.push(null);
    if (!paused) socket.resume();
  });
  return ended;
}

/**
 * What a pipe holds. Bounded, since its holder may go on writing. Nothing where the descriptor blocks: whoever was given it
 * has made it so, and reads it.
 */
function readRest(fd: number): { rest: Buffer; ended: boolean } {
  const room = Buffer.allocUnsafeSlow(LARGEST_PIPE);
  let length = 0;
  let ended = false;
  try {
    const [, flags = '0'] = /^flags:\s+(\d+)/m.exec(fs().readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')) ?? [];
    const mayRead = (Number.parseInt(flags, 8) & fs().constants.O_NONBLOCK) !== 0;
    while (mayRead && length < room.length && !ended) {
      const count = fs().readSync(fd, room, length, room.length - length, null);
      ended = count === 0;
      length += count;
    }
  } catch {
    // EAGAIN: it is empty. ECONNRESET of a socket pair: nobody is left to write.
  }
  return { rest: Buffer.from(room.subarray(0, length)), ended };
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
