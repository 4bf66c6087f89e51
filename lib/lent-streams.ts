import type { Socket } from 'node:net';

/** What is used of a stream over a handle of libuv's, and what onLending() leaves on it. */
interface Internals {
  _handle: { reading?: boolean; readStop(): void };
  _readableState?: { reading: boolean };
  readableFlowing: boolean | null;
  [LENDING]?: (step: Lending) => void;
}

/** A child that is being started has the stream; it has it for good; it was not started. */
export type Lending = 'lent' | 'given' | 'returned';

/** Registered: the stream may belong to another copy of this package. */
const LENDING = Symbol.for('procgroup.lending');

/** `told` hears of each child that is given `socket` as a descriptor of its own. */
export function onLending(socket: Socket, told: (step: Lending) => void): void {
  (socket as unknown as Internals)[LENDING] = told;
}

/**
 * Stops our own reading of streams that a child is to read: each byte goes to one reader alone. The function that it returns
 * says whether the child was started; where it was not, the streams are read on as before.
 */
export function lend(streams: readonly Socket[]): (started: boolean) => void {
  const settle = streams.map((stream) => {
    const internals = stream as unknown as Internals;
    const flowing = internals.readableFlowing;
    internals[LENDING]?.('lent');
    internals._handle.reading = false;
    internals._handle.readStop();
    stream.pause();
    internals.readableFlowing = false;
    // Else a read() to come would wait for the one that was stopped.
    if (internals._readableState) internals._readableState.reading = false;
    return (started: boolean) => {
      if (!started && !stream.destroyed) {
        internals.readableFlowing = flowing;
        if (flowing) stream.resume();
        else if (flowing === null) stream.read(0);
      }
      internals[LENDING]?.(started ? 'given' : 'returned');
    };
  });
  return (started) => {
    for (const one of settle) one(started);
  };
}
