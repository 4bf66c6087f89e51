// --report: its fields are those of the library's report; and C4: nothing that goes wrong with it, or with stderr, stops anything.
import { execFileSync } from 'node:child_process';
import { closeSync, constants as fsConstants, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExitResult, ResourceUsage, StepRecord, TeardownReport } from '../dist/index.js';
import { finish } from './support/cli.js';
import { guardian, ready, start } from './support/guardian-cli.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface RunReport extends TeardownReport {
  command: string[];
  pid: number;
  pgid: number;
  exit: ExitResult | null;
  exitStatus: number;
}

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'procgroup-'));
  scenario.defer(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function run(...args: string[]) {
  const path = join(scratch(), 'report');
  const child = start([guardian, '--report', path, ...args], { env: scenario.env });
  const end = await finish(child);
  const text = readFileSync(path, 'utf8');
  return { ...end, text, report: JSON.parse(text) as RunReport, guardianPid: child.pid };
}

/** A FIFO whose buffer is full, and the descriptor that keeps it open and unread. */
function stuckFifo(): { path: string; fd: number } {
  const path = join(scratch(), 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, fsConstants.O_RDWR | fsConstants.O_NONBLOCK);
  const block = Buffer.alloc(4096);
  try {
    for (;;) writeSync(fd, block);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('EAGAIN');
  }
  scenario.defer(() => closeSync(fd));
  return { path, fd };
}

describe('the fields', () => {
  const usage: Record<keyof ResourceUsage, unknown> = {
    userCPUTime: expect.any(Number),
    systemCPUTime: expect.any(Number),
    maxRSS: expect.any(Number),
    minorPageFault: expect.any(Number),
    majorPageFault: expect.any(Number),
    fsRead: expect.any(Number),
    fsWrite: expect.any(Number),
    voluntaryContextSwitches: expect.any(Number),
    involuntaryContextSwitches: expect.any(Number),
  };
  const exit = (how: Partial<ExitResult>): ExitResult => ({
    code: null,
    signal: null,
    coreDumped: false,
    resourceUsage: usage as unknown as ResourceUsage,
    status: 'exact',
    limitsHit: [],
    ...how,
  });
  const number = expect.any(Number) as unknown as number;

  it('of a run that leaves nothing behind', async () => {
    const { report, text, code } = await run(member, 'use', '30', '8');
    expect(code).toBe(0);
    expect(text).toMatch(/^[^\n]+\n$/);
    const expected: RunReport = {
      empty: true,
      cause: null,
      evidence: 'echild',
      covers: 'tree',
      survivors: [],
      steps: [],
      durationMs: 0,
      notes: [],
      usage: null,
      command: [member, 'use', '30', '8'],
      pid: number,
      pgid: report.pid,
      exit: exit({ code: 0 }),
      exitStatus: 0,
    };
    expect(report).toEqual(expected);
    const { userCPUTime, systemCPUTime, maxRSS } = (report.exit as ExitResult).resourceUsage as ResourceUsage;
    expect(userCPUTime + systemCPUTime).toBeGreaterThan(25_000);
    expect(maxRSS).toBeGreaterThan(8 * 1024);
  });

  it('of one that needs the whole ladder', async () => {
    const { report, code } = await run(
      '--timeout=150ms',
      '--teardown=HUP:60ms,INT:70ms',
      '--',
      'sh',
      '-c',
      'trap "" HUP INT; sleep 100; sleep 100',
    );
    expect(code).toBe(124);
    const step = (signal: string): StepRecord => ({ signal, atMs: number, target: 'group', error: null }) as StepRecord;
    expect(report).toMatchObject({ empty: true, cause: 'timeout', exitStatus: 124, exit: exit({ signal: 'SIGKILL' }) });
    expect(report.steps).toEqual([step('SIGHUP'), step('SIGINT'), step('SIGKILL')]);
    const [first = 0, second = 0, last = 0] = report.steps.map(({ atMs }) => atMs);
    expect(first).toBeLessThan(30);
    expect(second).toBeGreaterThanOrEqual(60);
    expect(last).toBeGreaterThanOrEqual(130);
    expect(report.durationMs).toBeGreaterThanOrEqual(last);
  });

  it('of a core dump, and of a real-time signal', async () => {
    const killed = await run('--', member, 'die', '40');
    expect(killed.code).toBe(128 + 40);
    expect(killed.report.exit).toEqual(exit({ signal: 'SIGRT40' as NodeJS.Signals }));
    const { report } = await run('--', 'sh', '-c', `ulimit -c 0; exec ${member} die 11`);
    expect(report.exit).toEqual(exit({ signal: 'SIGSEGV' }));
  });

  it('of a command that did not start', async () => {
    const { report, code } = await run('--', '/no/such/file', 'x');
    expect(code).toBe(127);
    expect(report).toEqual({
      command: ['/no/such/file', 'x'],
      error: { code: 'ENOENT', errno: -2, syscall: 'execve', stage: 'exec', path: '/no/such/file' },
      exitStatus: 127,
    });
    expect((await run('--', tmpdir())).report).toMatchObject({
      error: { code: 'EACCES', errno: -13 },
      exitStatus: 126,
    });
  });

  it('of arguments that are no text', async () => {
    const path = join(scratch(), 'report');
    // Quote, backslash, control character, two-byte and four-byte characters, a lone byte, an overlong form, a surrogate.
    const bytes = '"\\\\\\001\\303\\274\\360\\237\\220\\247\\377\\300\\257\\355\\240\\200';
    const script = `exec "$1" --report "$2" -- true "$(printf '${bytes}')"`;
    expect((await finish(start(['sh', '-c', script, 'sh', guardian, path], { env: scenario.env }))).code).toBe(0);
    const { command } = JSON.parse(readFileSync(path, 'utf8')) as RunReport;
    expect(command).toEqual([
      'true',
      new TextDecoder().decode(Buffer.from(`"\\\x01\xc3\xbc\xf0\x9f\x90\xa7\xff\xc0\xaf\xed\xa0\x80`, 'latin1')),
    ]);
  });
});

describe('the place', () => {
  it('may be what the command writes to', async () => {
    const path = join(scratch(), 'out');
    const fd = openSync(path, 'w');
    const child = start([guardian, '--report', '/dev/stdout', 'echo', 'before'], {
      env: scenario.env,
      stdio: ['ignore', fd, 'pipe'],
    });
    expect(await finish(child)).toMatchObject({ code: 0, stderr: '' });
    writeSync(fd, 'after\n');
    closeSync(fd);
    expect(readFileSync(path, 'utf8').split('\n')).toEqual([
      'before',
      expect.stringMatching(/^\{"empty":true/),
      'after',
      '',
    ]);
  });

  it('is relative to where procgroup was started', async () => {
    const cwd = scratch();
    const child = start([guardian, '--report', 'here', 'true'], { env: scenario.env, cwd });
    expect((await finish(child)).code).toBe(0);
    expect(readFileSync(join(cwd, 'here'), 'utf8')).toMatch(/^\{/);
  });

  it('is not the command’s descriptor', async () => {
    const path = join(scratch(), 'report');
    const child = start([guardian, '--report', path, '--', 'sh', '-c', 'ls -l /proc/self/fd'], { env: scenario.env });
    expect((await finish(child)).stdout).not.toContain(path);
  });
});

describe('C4: status and tree stay right', () => {
  it('where the report’s FIFO is full and nobody reads', async () => {
    const { path } = stuckFifo();
    const child = start([guardian, '--teardown', 'TERM:50ms', '--report', path, '--', member, 'holds-stdout', '7'], {
      env: scenario.env,
    });
    await ready(child);
    const { code, stderr } = await finish(child);
    expect({ code, stderr }).toEqual({
      code: 7,
      stderr: `procgroup-guardian: the report was not written to ${path}: EAGAIN\n`,
    });
    expect(scenario.alive()).toEqual([]);
  });

  it('where stderr is full and nobody reads', async () => {
    const { path } = stuckFifo();
    const stderr = openSync(path, fsConstants.O_RDWR);
    const args = ['--teardown', 'TERM:50ms', '--report', '/dev/full', '--', member, 'holds-stdout', '7'];
    const child = start([guardian, ...args], { env: scenario.env, stdio: ['ignore', 'pipe', stderr] });
    closeSync(stderr);
    await ready(child);
    expect((await finish(child)).code).toBe(7);
    expect(scenario.alive()).toEqual([]);
  });

  it('where stderr is closed, or its reader has gone', async () => {
    for (const redirect of ['2>&-', '']) {
      const script = `exec "$@" ${redirect}`;
      const args = [guardian, '--teardown', 'TERM:50ms', '--report', '/dev/full', '--', member, 'holds-stdout', '7'];
      const child = start(['sh', '-c', script, 'sh', ...args], { env: scenario.env });
      child.stderr?.destroy();
      await ready(child);
      expect(await finish(child)).toMatchObject({ code: 7, signal: null });
      expect(scenario.alive()).toEqual([]);
    }
  });

  it('where the report is too large for RLIMIT_FSIZE', async () => {
    const path = join(scratch(), 'report');
    const script = `ulimit -f 0; exec "$@"`;
    const args = [guardian, '--teardown', 'TERM:50ms', '--report', path, '--', member, 'holds-stdout', '7'];
    const child = start(['sh', '-c', script, 'sh', ...args], { env: scenario.env });
    await ready(child);
    expect(await finish(child)).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/not written to .*: EFBIG\n$/),
    });
  });

  it('where descriptors have run out', async () => {
    const script = 'ulimit -n 6; exec "$@"';
    const child = start(['sh', '-c', script, 'sh', guardian, 'true'], { env: scenario.env });
    const { code, stderr } = await finish(child);
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringMatching(/^procgroup-guardian: .*EMFILE\n$/) });
  });
});
