import { ProcessGroupError } from './errors.js';
import { engine, errorName, hold, letGo } from './native.js';

interface Waiter {
  paused: boolean;
  resolve(): void;
  reject(error: ProcessGroupError): void;
}

/** Who waits for a group to be paused or resumed. The kernel's word settles it, in the order in which it was asked. */
export class Pauses {
  readonly #id: number;
  #waiters: Waiter[] = [];
  #ended = false;

  constructor(id: number) {
    this.#id = id;
  }

  ask(paused: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended || engine().pause(this.#id, paused) < 0) return reject(ending());
      hold();
      this.#waiters.push({ paused, resolve, reject });
    });
  }

  told(paused: boolean, err: number): void {
    if (err !== 0) {
      const oldest = this.#waiters.shift();
      if (oldest === undefined) return;
      letGo();
      oldest.reject(err === ESRCH ? ending() : refused(err));
      return;
    }
    // The first question that it answers, those just behind it that ask the same, and those before it, which were overtaken
    // by it: the kernel never came to their state, or has left it.
    const first = this.#waiters.findIndex((one) => one.paused === paused);
    if (first < 0) return;
    const next = this.#waiters.findIndex((one, at) => at > first && one.paused !== paused);
    for (const { resolve } of this.#waiters.splice(0, next < 0 ? this.#waiters.length : next)) {
      letGo();
      resolve();
    }
  }

  end(): void {
    this.#ended = true;
    for (const { reject } of this.#waiters.splice(0)) {
      letGo();
      reject(ending());
    }
  }
}

const ESRCH = 3;

function ending(): ProcessGroupError {
  return new ProcessGroupError('the group is being torn down, or is gone', {
    code: 'ERR_GROUP_ENDING',
    stage: 'pause',
  });
}

function refused(err: number): ProcessGroupError {
  const code = errorName(-err);
  return new ProcessGroupError(`cgroup.freeze: ${code}`, { code, errno: -err, syscall: 'write', stage: 'pause' });
}
