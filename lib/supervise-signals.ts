import { EventEmitter } from 'node:events';
import type { SignalAction } from './supervise-types.js';

/** One handler a signal for the whole process, while somebody wants it: many supervisions are no leak of listeners. */
const relay = new EventEmitter().setMaxListeners(0);
const pass = (name: NodeJS.Signals) => relay.emit(name);

/**
 * Listens for the signals of a policy until the function that it returns is called. What comes again within `windowMs` is
 * the same delivery: an outer supervisor signals the group, then its pid.
 */
export function followSignals(
  policy: readonly (readonly [NodeJS.Signals, SignalAction])[],
  windowMs: number,
  act: (name: NodeJS.Signals, action: SignalAction, again: boolean) => void,
): () => void {
  const stops = policy.map(([name, action]) => {
    let last = Number.NEGATIVE_INFINITY;
    const received = () => {
      const now = performance.now();
      if (now - last < windowMs) return;
      const again = last > 0;
      last = now;
      act(name, action, again);
    };
    if (relay.listenerCount(name) === 0) process.on(name, pass);
    relay.on(name, received);
    return () => {
      relay.off(name, received);
      if (relay.listenerCount(name) === 0) process.removeListener(name, pass);
    };
  });
  return () => {
    for (const stop of stops) stop();
  };
}
