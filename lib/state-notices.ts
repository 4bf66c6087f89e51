import type { StateChange } from './types.js';

type Listener = (change: StateChange) => void;

/**
 * Listeners of state changes. Each hears the state at its registration first, in a later turn, and nothing before that.
 * What a listener throws is an uncaught exception of its own; the others are still told.
 */
export class StateNotices {
  #listeners = new Set<{ listener: Listener; waiting: StateChange[] | null }>();

  add(listener: Listener, now: StateChange): () => void {
    const entry: { listener: Listener; waiting: StateChange[] | null } = { listener, waiting: [now] };
    this.#listeners.add(entry);
    setImmediate(() => {
      const waiting = entry.waiting ?? [];
      entry.waiting = null;
      for (const change of waiting) {
        if (this.#listeners.has(entry)) call(listener, change);
      }
    });
    return () => {
      this.#listeners.delete(entry);
    };
  }

  tell(change: StateChange): void {
    for (const entry of [...this.#listeners]) {
      if (entry.waiting !== null) entry.waiting.push(change);
      else if (this.#listeners.has(entry)) call(entry.listener, change);
    }
  }
}

function call(listener: Listener, change: StateChange): void {
  try {
    listener(change);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
