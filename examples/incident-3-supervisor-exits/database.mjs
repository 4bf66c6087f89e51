// "The database": hands out work line by line. It can go away, and come back under the same port.
import { once } from 'node:events';
import { createServer } from 'node:net';

export class Database {
  #clients = new Set();
  #server;
  port = 0;

  /** With `last` it says to each client at once that there is no more work. */
  async come({ last = false } = {}) {
    this.#server = createServer((client) => {
      client.on('error', () => {});
      client.write(last ? 'no more work\n' : 'work\n');
      this.#clients.add(client);
    });
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
  }

  /** Resolves when a scheduler has asked for work. */
  async asked() {
    if (this.#clients.size === 0) await once(this.#server, 'connection');
  }

  async goAway() {
    this.#server.close();
    for (const client of this.#clients) client.destroy();
    this.#clients.clear();
    await once(this.#server, 'close');
  }
}
