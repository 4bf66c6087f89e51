// npm run demo: a nasty tree, started, drawn, stopped and proved to be gone; then the same tree with node:child_process.
import nodeProcess from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { spawn } from 'procgroup';
import { styleFor } from '../dist/cli/style.js';
import { renderTotals, renderTree } from '../dist/cli/tree-view.js';
import { readProcesses } from '../dist/procfs.js';
import { endMarked, marked, markedEnv } from './demo/marked.mjs';

const style = styleFor(process.stdout);
const good = (text) => style.paint('green', `${style.unicode ? '✔' : '+'} ${text}`);
const bad = (text) => style.paint('red', `${style.unicode ? '✘' : '!'} ${text}`);
const title = (text) => console.log(`\n${style.paint(['bold', 'cyan'], text)}\n`);
const say = (text) => console.log(`  ${text}`.trimEnd());

const server = fileURLToPath(new URL('demo/server.mjs', import.meta.url));
// The shell stays: what it starts is not its last command.
const command = ['sh', ['-c', '"$0" "$1"; exit $?', process.execPath, server]];
const mark = randomUUID();
const env = markedEnv(mark);

function draw(pids) {
  const all = readProcesses();
  const processes = pids.map((pid) => all.get(pid)).filter((info) => info !== undefined);
  for (const line of renderTree(processes, { ...style, width: style.width - 2 })) say(line);
  say('');
  for (const line of renderTotals(processes, style)) say(line);
}

/** The address that the server prints once its helpers run. */
async function ready(stdout) {
  const [line] = await once(createInterface({ input: stdout }), 'line', { signal: AbortSignal.timeout(8_000) });
  return line.replace('ready ', '');
}

async function answers(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

function printReport(report) {
  const verdict = `${report.empty ? 'empty' : 'NOT empty'} after ${report.durationMs.toFixed(0)} ms, evidence: ${report.evidence}`;
  say(report.empty ? good(verdict) : bad(verdict));
  for (const { signal, atMs, target } of report.steps) {
    say(style.paint('dim', `  ${atMs.toFixed(0).padStart(4)} ms  ${signal} to the ${target}`));
  }
  for (const { pid, comm, state } of report.survivors) say(bad(`${pid} (${comm}) survived, state ${state}`));
}

async function withProcgroup() {
  title('1. A shell, its server, and three helpers that are hard to end');
  const group = await spawn(...command, { env, teardown: [{ signal: 'SIGTERM', graceMs: 400 }] });
  try {
    const url = await ready(group.stdout);
    draw(marked(mark));
    title('2. stop(): SIGTERM to the group, 400 ms, then SIGKILL');
    printReport(await group.stop());
    const left = marked(mark);
    say(left.length === 0 ? good('/proc agrees: nobody is left') : bad(`/proc disagrees: ${left.join(', ')}`));
    say((await answers(url)) ? bad(`${url} still answers`) : good(`${url} is free again`));
    return left.length === 0;
  } finally {
    await group.stop();
  }
}

async function withChildProcess() {
  title('3. The same tree with node:child_process and child.kill()');
  const child = nodeProcess.spawn(...command, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await ready(child.stdout);
  const count = marked(mark).length;
  child.stdout.destroy();
  child.kill();
  const [code, signal] = await once(child, 'exit');
  say(`The child's 'exit' event comes at once (${signal ?? code}). Of ${count} processes there are left:`);
  say('');
  draw(marked(mark));
  say('');
  say((await answers(url)) ? bad(`${url} still answers`) : good(`${url} is free`));
}

/** Only what bears this run's mark, each pinned by its pidfd and checked again. */
async function cleanUp() {
  const count = marked(mark).length;
  const clean = await endMarked(mark);
  if (count > 0) say(clean ? good(`the demo has cleaned up: ${count} ended by SIGKILL`) : bad('something survived'));
  return clean;
}

// A reader that leaves (`| head`) must not leave the tree.
process.stdout.on('error', () => {});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => endMarked(mark).finally(() => process.exit(1)));
}
let proved = false;
let clean = false;
try {
  proved = await withProcgroup();
  await withChildProcess();
} finally {
  clean = await cleanUp();
}
process.exitCode = proved && clean ? 0 : 1;
