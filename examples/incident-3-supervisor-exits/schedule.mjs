// What both schedulers do: they ask the database for work until it says that there is none left. It may go away.
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** A log server that ignores SIGTERM, with a child of its own, and one that ends as asked. */
export const helpers = [
  ['/bin/sh', ['-c', 'trap "" TERM; sleep 3600 & while :; do sleep 1; done']],
  ['sleep', ['3600']],
];

export async function schedule(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    for await (const line of createInterface({ input: socket })) {
      if (line === 'no more work') return;
    }
  } finally {
    socket.destroy();
  }
  throw new Error('the database went away');
}
