// Strangers that get a number which was ours: made in a PID namespace, whose next pid can be chosen.
import { spawnSync } from 'node:child_process';

// The shell is the namespace's init: it reaps what the subject leaves to it.
export const namespaced = [
  'unshare',
  '--pid',
  '--fork',
  '--mount-proc',
  '--kill-child',
  'sh',
  '-c',
  '"$@"; exit $?',
  'sh',
];

export function whyNot(): string {
  const [file = '', ...args] = [...namespaced, 'sh', '-c', 'echo 100 > /proc/sys/kernel/ns_last_pid'];
  const probe = spawnSync(file, args);
  return probe.status === 0 ? '' : `no PID namespace with ns_last_pid here: ${probe.error ?? probe.stderr}`;
}

/** Helpers of every subject: strangers are made synchronously, so that the engine gets no turn of the event loop. */
export const strangers = `
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
const folder = process.argv.at(-1);
const MODES = ['pid', 'group', 'orphan-group'];
const SENTINEL = 64; // delivered after every other pending signal
let count = 0;
const results = [];

function spin(condition, what) {
  const end = performance.now() + 10_000;
  while (!condition()) if (performance.now() > end) throw new Error('never: ' + what);
}
function freed(pid) {
  spin(() => oracle.stat(pid) === null, 'reaped ' + pid);
}
function stranger(pid, mode) {
  const log = folder + '/' + ++count;
  nodeProcess.execFileSync(paths.build + 'pidreuse', [String(pid), mode, log], { stdio: 'inherit' });
  const lines = () => readFileSync(log, 'utf8').split('\\n').filter(Boolean);
  return {
    /** Everything the stranger received, up to the control signal that a numeric kill sends it. */
    async heard() {
      try {
        process.kill(mode === 'pid' ? pid : -pid, SENTINEL);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error; // somebody has killed it: the log says so
      }
      await oracle.waitUntil(() => lines().some((line) => line === String(SENTINEL) || line.startsWith('killed')));
      return lines();
    },
    async end() {
      if (lines().some((line) => line.startsWith('killed'))) return;
      process.kill(mode === 'orphan-group' ? -pid : pid, 'SIGKILL');
      await oracle.waitUntil(() => lines().some((line) => line.startsWith('killed')));
    },
  };
}
/** A group that is no child of ours: init reaps its leader as soon as it is dead. */
function foreignGroup(verb = 'sleep') {
  const path = folder + '/ready' + ++count;
  const fd = openSync(path, 'w');
  nodeProcess.execFileSync('setsid', ['-f', member, verb], { stdio: ['ignore', fd, 'inherit'] });
  closeSync(fd);
  spin(() => readFileSync(path, 'utf8').includes('\\n'), 'ready');
  const { pid, members } = JSON.parse(readFileSync(path, 'utf8').slice(6));
  return { pid, last: members[0] ?? pid };
}
const acts = {
  signal: (group) => group.signal('SIGTERM'),
  kill: async (group) => (await group.kill()).empty,
  stop: async (group) => (await group.stop()).empty,
  dispose: async (group) => String(await group[Symbol.asyncDispose]()),
};
async function outcome(run) {
  try {
    return await run();
  } catch (error) {
    return error.code;
  }
}
`;
