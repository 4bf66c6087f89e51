// A supervisor by Node's own means: at 409 it ends the process that it started, which is one of several.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeat } from './queue.mjs';

export async function superviseByHand(task, env, url) {
  const child = spawn(task, [], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  while ((await heartbeat(url)).status !== 409) await delay(200);
  const read = performance.now();
  child.kill('SIGTERM');
  await ended;
  child.stdout.destroy();
  return { ms: performance.now() - read };
}
