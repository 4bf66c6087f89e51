// The shortest proof that a build or an installed package works: no test runner, no compiler, only a shell.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { output, ProcessGroupError, spawn } from '../dist/index.js';
import { getpgid } from '../dist/posix.js';

let count = 0;
function ok(value, what) {
  assert.ok(value, what);
  count += 1;
}

// Nobody may have reaped it yet: a zombie is dead.
function isDead(pid) {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\)/s, ''));
  } catch {
    return true;
  }
}

const said = await output('/bin/sh', ['-c', 'echo out; echo err >&2; exit 3'], { stdio: ['ignore', 'pipe', 'pipe'] });
ok(said.code === 3 && said.stdout === 'out\n' && said.stderr === 'err\n' && !said.truncated, JSON.stringify(said));

const missing = await spawn('/nowhere/at/all').then(
  () => null,
  (error) => error,
);
ok(missing instanceof ProcessGroupError && missing.code === 'ENOENT' && missing.errno === -2, String(missing));

// The shell exits on SIGTERM; its child ignores it and has to be killed.
const script = '(trap "" TERM; echo ready; while :; do sleep 300; done) & trap "exit 0" TERM; wait';
const group = await spawn('/bin/sh', ['-c', script], { teardown: [{ signal: 'SIGTERM', graceMs: 200 }] });
ok(group.pgid === group.pid && getpgid(group.pid) === group.pid, 'a group of its own');
ok(getpgid(process.pid) !== group.pgid, 'and not ours');
await new Promise((resolve) => group.stdout.once('data', resolve));
const members = await group.members();
ok(members.length >= 2 && members.every((member) => member.pgid === group.pgid), JSON.stringify(members));
const [report, again] = await Promise.all([group.stop(), group.stop()]);
ok(report.empty && report.cause === 'stop' && report.survivors.length === 0, JSON.stringify(report));
ok(again === report && (await group.gone) === report, 'one teardown, one report');
ok((await group.exited).code === 0, 'the leader ended by itself');
for (const { pid } of members) ok(isDead(pid), `${pid} is dead`);

const required = createRequire(import.meta.url)('../dist/index.js');
ok(required.spawn === spawn, 'require() gives the same module');

process.stdout.write(`smoke ok ${count}\n`);
