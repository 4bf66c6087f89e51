// `procgroup run` without a terminal: stopped and continued as the command itself would be, whatever group the tests run in.
import { type ChildProcess, spawn as spawnPlain } from 'node:child_process';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { spawn } from '../dist/index.js';
import { bin } from './support/cli.js';
import { subjectEnv } from './support/environment.mjs';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const state = (pid: number) => stat(pid)?.state;

/**
 * In a process group of its own whose parent is this process: somebody could continue it, so the kernel lets it be stopped,
 * also where the tests themselves run in an orphaned group (a background job of a shell that has ended). setpgid(2).
 */
async function startJob(options: string[], verb: string) {
  const group = await spawn(bin, ['run', ...options, '--', member, verb], {
    env: subjectEnv(scenario.env),
    isolation: 'group',
    containment: 'leader',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = await readReady(group.stdout);
  return { group, pid: group.pid, command: ready.pid };
}

/** How often the text has been printed from now on. */
function counts(stream: Readable): (line: string) => number {
  let shown = '';
  stream.on('data', (text) => {
    shown += String(text);
  });
  stream.resume();
  return (line) => shown.split('\n').filter((one) => one.startsWith(line)).length;
}

describe.each(['group', 'session'])('--isolation %s', (isolation) => {
  const options = ['--isolation', isolation];

  it('SIGTSTP stops the command and then procgroup; SIGCONT continues both', async () => {
    const { group, pid, command } = await startJob(options, 'sleep');
    for (let round = 0; round < scaled(20); round++) {
      process.kill(pid, 'SIGTSTP');
      await waitUntil(() => state(command) === 'T', { what: 'the member stopped' });
      await waitUntil(() => state(pid) === 'T', { what: 'procgroup stopped' });
      process.kill(pid, 'SIGCONT');
      await waitUntil(() => state(command) === 'S', { what: 'the member continued' });
    }
    process.kill(pid, 'SIGTERM');
    expect(await group.exited).toMatchObject({ code: 128 + 15 });
  });

  it('a SIGCONT that comes while the stop is under way is not lost', async () => {
    const { group, pid } = await startJob(options, 'report-signals');
    const count = counts(group.stdout);
    for (let round = 1; round <= scaled(300); round++) {
      process.kill(pid, 'SIGTSTP');
      const until = performance.now() + Math.random() * 0.6;
      while (performance.now() < until);
      process.kill(pid, 'SIGCONT');
      // Handed on and printed only where both of them run.
      process.kill(pid, 'SIGHUP');
      await waitUntil(() => count('got 1 ') === round, { everyMs: 1, what: `both run again, round ${round}` });
    }
    process.kill(pid, 'SIGUSR1');
    expect(await group.exited).toMatchObject({ code: 0 });
  });

  it('a command that nobody would continue is not left stopped', async () => {
    // A session of its own: no parent in it outside its group. The kernel does not stop procgroup there.
    const args = ['run', ...options, '--', member, 'report-signals'];
    const child: ChildProcess = spawnPlain(bin, args, {
      env: subjectEnv(scenario.env),
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const stdout = child.stdout ?? expect.fail('no stdout');
    const ready = await readReady(stdout);
    const count = counts(stdout);
    for (let round = 1; round <= 5; round++) {
      process.kill(child.pid ?? 0, 'SIGTSTP');
      await waitUntil(() => count('got 18 ') === round, { what: 'the command is continued' });
    }
    expect([state(child.pid ?? 0), state(ready.pid)]).toEqual(['S', 'S']);
    process.kill(child.pid ?? 0, 'SIGUSR1');
    expect(await ended).toBe(0);
  });
});
