// A worker by Node's own means: the read path starts its helper at the first read, and nobody ever ends it.
import { spawn } from 'node:child_process';
import { Client, reader } from './client.mjs';

let client;
function read(key) {
  client ??= new Client(spawn(...reader, { stdio: ['pipe', 'pipe', 'ignore'] }));
  return client.read(key);
}

const values = await Promise.all(Array.from({ length: 100 }, (_, i) => read(`key ${i}`)));
console.log(`${values.length} reads, the last gave '${values.at(-1)}'`);
// Recycled: the pool lets a worker go after so many requests.
process.exit(0);
