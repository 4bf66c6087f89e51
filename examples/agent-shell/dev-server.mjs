// What `npm run dev` is like: a server with a worker beside it. Writes its address to the file it is given.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

// A process of its own that does not end with its parent.
await once(spawn('sleep', ['3600'], { stdio: 'ignore' }), 'spawn');
const server = createServer((_, response) => response.end('hello\n'));
server.listen(0, '127.0.0.1', () => writeFileSync(process.argv[2], `http://127.0.0.1:${server.address().port}/\n`));
