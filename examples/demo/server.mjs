// A development server as they are found in the wild: an HTTP server with three helpers that do not end with it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

// One ignores SIGTERM.
const worker = spawn(process.execPath, [fileURLToPath(new URL('worker.mjs', import.meta.url))], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
await once(worker.stdout, 'data');
// One keeps our stdout open.
spawn('sleep', ['3600'], { stdio: ['ignore', 'inherit', 'inherit'] });
// One is stopped, so that it sees no signal but SIGKILL until somebody continues it.
const stopped = spawn('sh', ['-c', 'kill -STOP $$; exec sleep 3600'], { stdio: 'ignore' });
while (!/\) T /.test(readFileSync(`/proc/${stopped.pid}/stat`, 'utf8'))) await delay(5);

const server = createServer((_, response) => response.end('still here\n'));
server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}/`));
