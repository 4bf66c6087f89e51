// `procgroup run`: signals reach the group, and nothing of the group is left when it returns.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants as fsConstants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TeardownReport } from '../dist/index.js';
import { finish, runCli, startCli } from './support/cli.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface Report extends TeardownReport {
  command: string[];
  pid: number;
  pgid: number;
  exitStatus: number;
  error?: { code: string; stage: string };
}

/** Starts `procgroup run OPTIONS -- member VERB`, and waits for the member's ready line. */
async function start(options: string[], ...verb: string[]) {
  const child = startCli(['run', ...options, '--', member, ...verb], { env: scenario.env });
  const ready = await readReady(child.stdout as NonNullable<typeof child.stdout>);
  return { child, ready, pid: child.pid as number };
}

/** What the child prints from now on. */
function collect(child: ChildProcess): () => string {
  let shown = '';
  child.stdout?.on('data', (text) => {
    shown += String(text);
  });
  child.stdout?.resume();
  return () => shown;
}

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'procgroup-'));
  scenario.defer(() => rmSync(directory, { recursive: true }));
  return directory;
}

describe('signals', () => {
  const FORWARDED = ['HUP', 'INT', 'QUIT', 'ABRT', 'USR1', 'USR2', 'PIPE', 'ALRM', 'TERM', 'STKFLT'].concat([
    'XCPU',
    'XFSZ',
    'VTALRM',
    'PROF',
    'IO',
    'PWR',
  ]);

  it.each(FORWARDED)('SIG%s is forwarded', async (name) => {
    const { child, pid } = await start(['--teardown', 'TERM:20s'], 'sleep');
    const signal = `SIG${name}` as NodeJS.Signals;
    process.kill(pid, signal);
    const { code, stderr } = await finish(child);
    expect(stderr).toBe('');
    expect(code).toBe(128 + constants.signals[signal]);
    expect(scenario.alive()).toEqual([]);
  });

  it('reach the whole group, once', async () => {
    const { child, pid } = await start([], 'report-signals');
    process.kill(pid, 'SIGHUP');
    process.kill(pid, 'SIGCONT');
    const shown = collect(child);
    await waitUntil(() => (shown().includes('got 1 1') && shown().includes('got 18 1')) || null, {
      what: 'both signals',
    });
    process.kill(pid, 'SIGUSR1');
    expect((await finish(child)).code).toBe(0);
    expect(shown().match(/got/g)).toHaveLength(2);
  });

  it('are rewritten, and dropped, as asked', async () => {
    const { child, pid } = await start(
      ['--rewrite', 'TERM:HUP', '--rewrite', 'sigint:', '--rewrite', '3:USR1'],
      'report-signals',
    );
    const shown = collect(child);
    process.kill(pid, 'SIGINT');
    process.kill(pid, 'SIGTERM');
    await waitUntil(() => shown().includes('got 1 1') || null, { what: 'SIGHUP for SIGTERM' });
    process.kill(pid, 'SIGQUIT');
    expect((await finish(child)).code).toBe(0);
    expect(shown()).not.toContain('got 2');
    expect(shown()).not.toContain('got 15');
  });
});

describe('the end', () => {
  it('takes down what the leader leaves in its group', async () => {
    const begin = performance.now();
    const { child, ready } = await start(['--teardown', 'TERM:200ms'], 'leader-exits-first');
    expect(ready.members).toHaveLength(1);
    expect((await finish(child)).code).toBe(0);
    expect(scenario.alive()).toEqual([]);
    expect(performance.now() - begin).toBeGreaterThan(200);
  });

  it('control: without procgroup the same member is left', async () => {
    scenario.leaves();
    const child = spawn(member, ['leader-exits-first'], { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'] });
    await readReady(child.stdout);
    await waitUntil(() => child.exitCode !== null || null, { what: 'the leader’s end' });
    expect(scenario.alive()).toHaveLength(1);
  });

  it('comes after the timeout, with 124, also where SIGTERM is ignored', async () => {
    const { code, stderr } = await runCli(
      ['run', '--timeout', '200ms', '--teardown', 'TERM:100ms', member, 'ignore-term'],
      {
        env: scenario.env,
      },
    );
    expect({ code, stderr }).toEqual({ code: 124, stderr: '' });
    expect(scenario.alive()).toEqual([]);
  });

  it('is the command’s own where it is faster than the timeout', async () => {
    expect((await runCli(['run', '--timeout', '60', 'sh', '-c', 'exit 4'], { env: scenario.env })).code).toBe(4);
  });

  it.each(['inherit', 'group', 'session'])('reports the command’s status with --isolation %s', async (isolation) => {
    const own = `exit $(($(ps -o pgid= -p $$) == $$ ? $(ps -o sid= -p $$) == $$ ? 32 : 31 : 30))`;
    const { code } = await runCli(['run', '--isolation', isolation, 'sh', '-c', own], { env: scenario.env });
    expect(code).toBe({ inherit: 30, group: 31, session: 32 }[isolation]);
  });

  it('kills the command when procgroup itself is killed', async () => {
    const { child, pid } = await start([], 'sleep');
    process.kill(pid, 'SIGKILL');
    expect((await finish(child)).signal).toBe('SIGKILL');
    await waitUntil(() => scenario.alive().length === 0 || null, { what: 'the leader’s end' });
  });
});

describe('--report', () => {
  const read = (path: string): Report => JSON.parse(readFileSync(path, 'utf8')) as Report;

  it('is one JSON object on one line, and replaces what was there', async () => {
    const path = join(scratch(), 'report');
    writeFileSync(path, 'x'.repeat(20_000));
    const command = ['sh', '-c', 'exit 6'];
    expect((await runCli(['run', '--report', path, ...command], { env: scenario.env })).code).toBe(6);
    expect(readFileSync(path, 'utf8').trimEnd()).not.toContain('\n');
    const report = read(path);
    expect(report).toMatchObject({ empty: true, survivors: [], covers: 'tree', exitStatus: 6, command });
    expect(report.pgid).toBe(report.pid);
  });

  it('tells the ladder’s steps', async () => {
    const path = join(scratch(), 'report');
    const options = ['--report', path, '--timeout', '100ms', '--teardown', 'INT:1ms,TERM:50ms'];
    expect((await runCli(['run', ...options, member, 'ignore-term'], { env: scenario.env })).code).toBe(124);
    // SIGINT ends a member that ignores SIGTERM only where it is slower than the first grace.
    expect(read(path)).toMatchObject({ empty: true, cause: 'timeout', exitStatus: 124 });
    expect(read(path).steps[0]).toMatchObject({ signal: 'SIGINT', target: 'group', error: null });
  });

  it('tells why a command did not start', async () => {
    const path = join(scratch(), 'report');
    expect((await runCli(['run', '--report', path, '/no/such/file'], { env: scenario.env })).code).toBe(127);
    expect(read(path)).toMatchObject({ exitStatus: 127, error: { code: 'ENOENT' } });
  });

  it('leaves status and tree alone where the disk is full or the reader has gone', async () => {
    const fifo = join(scratch(), 'fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, fsConstants.O_RDONLY | fsConstants.O_NONBLOCK);
    for (const path of ['/dev/full', fifo]) {
      const { child, pid } = await start(['--teardown', 'TERM:100ms', '--report', path], 'setpgid');
      if (path === fifo) closeSync(reader);
      process.kill(pid, 'SIGTERM');
      const { code, stderr } = await finish(child);
      expect({ path, code, left: scenario.alive() }).toEqual({ path, code: 143, left: [] });
      expect(stderr).toMatch(/^procgroup run: the report was not written[^\n]*\n$/);
    }
    const nobody = await runCli(['run', '--report', fifo, 'sh', '-c', 'exit 8'], { env: scenario.env });
    expect(nobody).toMatchObject({ code: 8, stderr: expect.stringMatching(/not written/) });
  });
});

describe('a broken stderr', () => {
  it('changes neither the status nor what is left', async () => {
    const full = openSync('/dev/full', 'w');
    scenario.defer(() => closeSync(full));
    for (const stderr of ['pipe', full] as const) {
      const args = ['run', '--report', '/dev/full', '--teardown', 'TERM:100ms', '--', member, 'holds-stdout', '7'];
      const child = startCli(args, { env: scenario.env, stdio: ['ignore', 'pipe', stderr] });
      await readReady(child.stdout as NonNullable<typeof child.stdout>);
      child.stderr?.destroy();
      const { code, signal } = await finish(child);
      expect({ code, signal, left: scenario.alive() }).toEqual({ code: 7, signal: null, left: [] });
    }
  });

  it('is no obstacle to 127', async () => {
    const child = startCli(['run', '/no/such/file'], { env: scenario.env, stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.destroy();
    expect((await finish(child)).code).toBe(127);
  });
});
