import { readFileSync } from 'node:fs';

export const ended = (pid) => {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true; // reaped, not told
  }
};

/** Returns when `done()` and whoever waits for it knows of it, without a turn of the loop. */
export function block(done) {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  while (!done()) Atomics.wait(cell, 0, 0, 1);
  Atomics.wait(cell, 0, 0, 50);
}

/** Returns when the children have ended and whoever waits for them knows of it, without a turn of the loop. */
export const settle = (...children) => block(() => children.every(({ pid }) => pid === undefined || ended(pid)));
