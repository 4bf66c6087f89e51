/** Who follows a signal, and the one listener that tells them. */
interface Following {
  acts: Set<{ act: () => void }>;
  fired: () => void;
}

const followed = new WeakMap<AbortSignal, Following>();

/**
 * Calls `act`, which must not throw, when `signal` fires, unless the function that it returns was called before that. However
 * many follow a signal, it has one listener: Node takes an eleventh for a leak.
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const following = followed.get(signal) ?? follow(signal);
  const entry = { act };
  following.acts.add(entry);
  return () => {
    if (!following.acts.delete(entry) || following.acts.size > 0) return;
    followed.delete(signal);
    signal.removeEventListener('abort', following.fired);
  };
}

function follow(signal: AbortSignal): Following {
  const acts: Following['acts'] = new Set();
  const fired = () => {
    followed.delete(signal);
    for (const entry of acts) {
      acts.delete(entry);
      entry.act();
    }
  };
  followed.set(signal, { acts, fired });
  signal.addEventListener('abort', fired, { once: true });
  return { acts, fired };
}
