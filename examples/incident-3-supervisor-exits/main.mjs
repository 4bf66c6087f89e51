// node examples/incident-3-supervisor-exits/main.mjs: the outer supervisor. It restarts a scheduler that it sees die.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endMarked, marked, markedEnv } from '../demo/marked.mjs';
import { Database } from './database.mjs';

const PATIENCE_MS = 3_000;
const GRACE_MS = 500;
const mark = randomUUID();
const say = (text) => console.log(`  ${text}`);

function start(name, port) {
  const program = fileURLToPath(new URL(`${name}.mjs`, import.meta.url));
  const child = spawn(process.execPath, [program, port], {
    env: markedEnv(mark),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  child.stderr.setEncoding('utf8').on('data', (text) => say(`  stderr: ${text.trim()}`));
  return { child, ended: once(child, 'exit') };
}

/** The scheduler's first life: the database goes away under it. Gives its exit, or null where it does not come. */
async function firstLife(name, database) {
  await database.come();
  const { ended } = start(name, database.port);
  await database.asked();
  say(`it runs: ${marked(mark).length} processes. The database goes away.`);
  await database.goAway();
  const began = performance.now();
  let timer;
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, null);
  });
  const end = await Promise.race([ended, patience]);
  clearTimeout(timer);
  return end && { code: end[0], ms: Math.round(performance.now() - began) };
}

async function withChildProcess() {
  console.log('\n1. A scheduler with node:child_process');
  const end = await firstLife('scheduler-node', new Database());
  if (end !== null) say(`it exited with ${end.code} after ${end.ms} ms`);
  else
    say(
      `${PATIENCE_MS / 1000} s later it has not exited, and never will: it waits for its helpers. Nobody restarts it.`,
    );
  say(`left: ${marked(mark).length} processes, ended by this example`);
  await endMarked(mark);
  return end === null;
}

async function withProcgroup() {
  console.log('\n2. The same scheduler with ProcessScope.run()');
  const database = new Database();
  const end = await firstLife('scheduler-procgroup', database);
  const left = marked(mark).length;
  const inTime = end !== null && end.ms < GRACE_MS + 1_000;
  say(`it exited with ${end?.code} after ${end?.ms} ms (grace ${GRACE_MS} ms), left: ${left} processes`);
  await database.come({ last: true });
  const { ended } = start('scheduler-procgroup', database.port);
  const [code] = await ended;
  await database.goAway();
  say(
    `the outer supervisor saw the death and restarted it; the database is back: exit ${code}, left: ${marked(mark).length}`,
  );
  return end?.code === 1 && inTime && left === 0 && code === 0 && marked(mark).length === 0;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => endMarked(mark).finally(() => process.exit(1)));
}
let proved = false;
try {
  proved = (await withChildProcess()) && (await withProcgroup());
} finally {
  proved = (await endMarked(mark)) && proved;
}
console.log(proved ? '\nproved' : '\nNOT proved');
process.exitCode = proved ? 0 : 1;
