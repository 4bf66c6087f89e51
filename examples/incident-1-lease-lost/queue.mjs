// "The queue": hands a job out, takes heartbeats for it, and answers 409 once it has given the job to somebody else.
import { once } from 'node:events';
import { createServer } from 'node:http';

export class Queue {
  #server;
  #beats = 0;
  #takenAfter = Number.POSITIVE_INFINITY;
  url = '';

  async open() {
    this.#server = createServer((request, response) => {
      request.resume();
      const taken = ++this.#beats > this.#takenAfter;
      response.writeHead(taken ? 409 : 200).end(taken ? '{"holder": "host-b"}' : '{}');
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}/jobs/42/heartbeat`;
  }

  /** From the next run on: this many beats are good. */
  takeAwayAfter(beats) {
    this.#beats = 0;
    this.#takenAfter = beats;
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** What both supervisors send. */
export async function heartbeat(url, signal) {
  const response = await fetch(url, { method: 'PUT', signal });
  await response.body?.cancel();
  return response;
}
