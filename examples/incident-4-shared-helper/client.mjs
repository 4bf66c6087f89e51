// Keys go to a reader's stdin, values come from its stdout, in the same order.
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const reader = ['/bin/sh', [fileURLToPath(new URL('reader.sh', import.meta.url))]];

export class Client {
  #stdin;
  #waiting = [];

  constructor({ stdin, stdout }) {
    this.#stdin = stdin;
    createInterface({ input: stdout }).on('line', (line) => this.#waiting.shift()?.(line));
  }

  read(key) {
    this.#stdin.write(`${key}\n`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
