// node examples/agent-shell/main.mjs: one afternoon of a coding agent, first with child_process.exec, then with procgroup.
import { exec } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endMarked, marked, markedEnv } from '../demo/marked.mjs';
import { ShellTool } from './shell-tool.mjs';

const MAX_BYTES = 2_000;
const server = fileURLToPath(new URL('dev-server.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'agent-shell-'));
const mark = randomUUID();
const env = { ...markedEnv(mark), NODE: process.execPath, SERVER: server };
const say = (text) => console.log(`  ${text}`);

// The calls of the tool: what the agent asks for, and how.
const calls = [
  [
    'start the server',
    'rm -f url; nohup setsid "$NODE" "$SERVER" url > server.log 2>&1 & until [ -s url ]; do sleep 0.02; done',
  ],
  ['a test that hangs', 'echo "1 of 2 passed"; (sleep 3600; echo never) ; exit 1', { timeoutMs: 300 }],
  ['a build that the user stops', 'echo building; sleep 3600 & wait', { abortAfterMs: 300 }],
  ['a log that does not end', 'yes "the same line"', { timeoutMs: 300 }],
];

async function answers() {
  const url = readFileSync(join(folder, 'url'), 'utf8').trim();
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

/** As most tools do it. */
function withExec(command, { timeoutMs = 0, signal }) {
  return new Promise((resolve) => {
    exec(command, { cwd: folder, env, timeout: timeoutMs, signal, maxBuffer: MAX_BYTES }, (error, stdout) =>
      resolve({ ended: error === null ? 'exit' : (error.code ?? error.signal), output: stdout }),
    );
  });
}

async function afternoon(run) {
  for (const [what, command, { timeoutMs, abortAfterMs } = {}] of calls) {
    const signal = abortAfterMs === undefined ? undefined : AbortSignal.timeout(abortAfterMs);
    const begin = performance.now();
    const { ended, output, background } = await run(command, { timeoutMs, signal });
    const took = `${ended} after ${((performance.now() - begin) / 1_000).toFixed(1)} s, ${output.length} characters`;
    const left = background?.length ? `, in the background: ${background.map(({ comm }) => comm).join(', ')}` : '';
    say(`${what}: ${took}${left}`);
  }
  say(`between the calls the server ${(await answers()) ? 'answers' : 'is down'}`);
}

async function cleanUp() {
  const clean = await endMarked(mark);
  rmSync(folder, { recursive: true, force: true });
  return clean;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => cleanUp().finally(() => process.exit(1)));
let clean = false;
let proved = false;
try {
  console.log('With child_process.exec():');
  await afternoon(withExec);
  say(`the agent is done: ${marked(mark).length} processes are left, and nobody knows of them`);
  await endMarked(mark);

  console.log('\nWith procgroup:');
  const shell = new ShellTool({ cwd: folder, env, maxBytes: MAX_BYTES, graceMs: 500 });
  try {
    await afternoon((command, options) => shell.run(command, options));
  } finally {
    const reports = await shell.close();
    const left = marked(mark).length;
    proved = left === 0 && reports.every(({ empty }) => empty) && !(await answers());
    say(`the agent is done: ${left} processes are left, the server is ${(await answers()) ? 'still up' : 'gone'}`);
  }
} finally {
  clean = await cleanUp();
}
process.exitCode = proved && clean ? 0 : 1;
