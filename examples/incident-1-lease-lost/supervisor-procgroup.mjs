// The same supervisor with procgroup: the task runs under the lease, and not longer.
import { httpLost, supervise } from 'procgroup/supervise';
import { heartbeat } from './queue.mjs';

/** `onLost` is called when the answer that ends it has been read; `onBeat` after each good one. */
export async function superviseTask(task, env, url, { onLost, onBeat } = {}) {
  let beats = 0;
  return supervise(task, [], {
    env,
    containment: 'tree',
    teardown: [{ signal: 'SIGTERM', graceMs: 500 }],
    ready: { line: 'task: working' },
    lease: {
      leaseMs: 1_500, // what a good beat is worth: the engine keeps this deadline, whatever JavaScript does
      intervalMs: 200,
      timeoutMs: 1_000,
      beat: (_, signal) => heartbeat(url, signal),
      lost: (answer) => {
        const lost = httpLost(answer);
        if (lost) onLost?.();
        else onBeat?.(++beats);
        return lost;
      },
    },
  }).outcome;
}
