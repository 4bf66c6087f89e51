// Ends of children, told as Node tells them: behind whatever else this turn of the loop has read (libuv looks at its
// signals last), before its immediates, with ticks in between, and in the order in which the children were started.
import { engine } from '../native.js';

interface End {
  started: number;
  tell(): void;
}

const due: End[] = [];
let last = 0;
let arm: (() => void) | undefined;

/** A number for a child that was started. */
export function nextStart(): number {
  arm ??= engine().afterPoll(tellFirst) ?? (() => void setImmediate(tellFirst));
  return ++last;
}

function tellFirst(): void {
  let first = 0;
  for (let i = 1; i < due.length; i++) {
    if ((due[i] as End).started < (due[first] as End).started) first = i;
  }
  due.splice(first, 1)[0]?.tell();
}

export function tellLater(started: number, tell: () => void): void {
  due.push({ started, tell });
  arm?.();
}
