// C1: what `procgroup run` exits with, and what it does to the command line.
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bin, finish, runCli, startCli } from './support/cli.js';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const run = (...args: string[]) => runCli(['run', ...args], { env: scenario.env });
const sh = (script: string) => run('--', 'sh', '-c', script);

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'procgroup-'));
  scenario.defer(() => rmSync(directory, { recursive: true }));
  return directory;
}

describe('the exit status', () => {
  it.each([0, 1, 2, 3, 63, 124, 125, 126, 127, 128, 137, 255])('C1: is the command’s: %i', async (code) => {
    expect(await sh(`exit ${code}`)).toEqual({ code, signal: null, stdout: '', stderr: '' });
  });

  const IGNORED = ['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH'];
  const STOPS = ['SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'];
  const numbers = Array.from({ length: 31 }, (_, at) => at + 1);
  const name = (number: number): string => {
    const found = Object.entries(constants.signals).find(([, value]) => value === number);
    return found === undefined ? '' : found[0];
  };
  const ending = numbers.filter((number) => ![...IGNORED, ...STOPS].includes(name(number)));

  it.each(ending)('C1: is 128 + n for signal %i', async (number) => {
    // No core file of a member is wanted.
    const { code, stderr } = await sh(`ulimit -c 0; exec ${member} die ${number}`);
    expect({ code, stderr }).toEqual({ code: 128 + number, stderr: '' });
  });

  it.each(IGNORED)('C1: is the command’s when it survives %s', async (signal) => {
    const number = constants.signals[signal as NodeJS.Signals];
    expect((await run('--', member, 'die', String(number))).code).toBe(121);
  });

  it.each(STOPS)(
    'C1: is the command’s after it was stopped by %s and continued, without a terminal',
    async (signal) => {
      const child = startCli(['run', '--', 'sh', '-c', `echo $$; kill -${signal.slice(3)} $$; exit 9`], {
        env: scenario.env,
      });
      const pid = await new Promise<number>((resolve) => {
        child.stdout?.once('data', (text) => resolve(Number(String(text))));
      });
      await waitUntil(() => stat(pid)?.state === 'T' || null, { what: `${pid} stopped` });
      expect(stat(child.pid ?? 0)?.state, 'procgroup itself runs on').not.toBe('T');
      process.kill(pid, 'SIGCONT');
      expect(await finish(child)).toMatchObject({ code: 9, signal: null, stderr: '' });
    },
  );

  it('C1: is 126 for what cannot be executed, and one line says so', async () => {
    const directory = scratch();
    const plain = join(directory, 'plain');
    writeFileSync(plain, 'no program');
    for (const file of [plain, directory, `${plain}/below`]) {
      const { code, stderr } = await run('--', file);
      expect({ file, code, stderr }).toEqual({
        file,
        code: 126,
        stderr: expect.stringMatching(/^procgroup run: .+\n$/),
      });
    }
  });

  it('C1: is 127 for what is not found, and one line says so', async () => {
    for (const file of ['no-such-program-anywhere', './no/such/file', '/no/such/file', '']) {
      const { code, stderr } = await run('--', file);
      expect({ file, code, stderr }).toEqual({
        file,
        code: 127,
        stderr: expect.stringMatching(/^procgroup run: .*not found\n$/),
      });
    }
  });

  it('C1: looks the command up in PATH as it is', async () => {
    const directory = scratch();
    writeFileSync(join(directory, 'found-here'), '#!/bin/sh\nexit 42\n');
    chmodSync(join(directory, 'found-here'), 0o755);
    const env = { ...scenario.env, PATH: `${process.env.PATH}:${directory}` };
    expect((await runCli(['run', 'found-here'], { env })).code).toBe(42);
  });

  it.each([
    ['an unknown option', ['run', '--no-such-option', '--', 'true'], /unknown option '--no-such-option'/],
    ['an unknown short option', ['run', '-x', 'true'], /unknown option '-x'/],
    ['an option without its value', ['run', '--timeout'], /--timeout/],
    ['a value for an option that takes none', ['run', '--help=yes', 'true'], /--help/],
    ['no command', ['run'], /no command given/],
    ['no command after --', ['run', '--timeout', '5s', '--'], /no command given/],
    ['a bad duration', ['run', '--timeout', 'soon', 'true'], /'soon' is not a duration/],
    ['a bad ladder', ['run', '--teardown', 'TERM', 'true'], /'TERM' is not a step/],
    ['a bad signal', ['run', '--rewrite', 'NOPE:TERM', 'true'], /'NOPE' is not a signal/],
    ['a rewrite of what cannot be caught', ['run', '--rewrite', 'KILL:TERM', 'true'], /SIGKILL is never forwarded/],
    ['an unknown isolation', ['run', '--isolation', 'moat', 'true'], /--isolation takes/],
    ['a limit without a cgroup', ['run', '--limit', 'pids.max=5', 'true'], /need --containment cgroup/],
    ['a report that cannot be opened', ['run', '--report', '/no/such/directory/report', 'true'], /report/],
    ['no subcommand', [], /no command given/],
    ['an unknown subcommand', ['walk'], /unknown command 'walk'/],
    ['an unknown option before the subcommand', ['--walk'], /unknown option '--walk'/],
  ])('C1: is 125 with one line on stderr for %s', async (_, args, message) => {
    const { code, stdout, stderr } = await runCli(args, { env: scenario.env });
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toMatch(/^procgroup[^\n]*\n$/);
    expect(stderr).toMatch(message);
  });
});

describe('the command line', () => {
  const AWKWARD = [
    '',
    ' ',
    'two words',
    'line\nbreak',
    '--',
    '-x',
    '--timeout',
    '--help',
    '*',
    '$HOME',
    '\\',
    "'",
    '"',
    'ü',
  ];

  it('C1: reaches the command untouched', async () => {
    const { code, stdout } = await run('--', 'sh', '-c', 'printf "%s\\0" "$@"', 'sh', ...AWKWARD);
    expect(code).toBe(0);
    expect(stdout.split('\0').slice(0, -1)).toEqual(AWKWARD);
  });

  it('C1: needs no -- where the command is no option', async () => {
    const { stdout } = await run('--timeout', '60s', 'printf', '%s.', '--timeout', '--', '-x');
    expect(stdout).toBe('--timeout.--.-x.');
  });

  it('C1: ends the options at the first --, and only there', async () => {
    expect(await run('--', '--', 'x')).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('--: command not found'),
    });
  });

  it('C1: hands on stdin, stdout and stderr', async () => {
    const result = await runCli(['run', 'sh', '-c', 'cat; echo aside >&2'], { env: scenario.env, input: 'through' });
    expect(result).toEqual({ code: 0, signal: null, stdout: 'through', stderr: 'aside\n' });
  });

  it('C1: works through symbolic links, relative ones among them', async () => {
    const directory = scratch();
    symlinkSync(bin, join(directory, 'absolute'));
    symlinkSync('absolute', join(directory, 'relative'));
    const env = { ...scenario.env, PATH: `${directory}:${process.env.PATH}` };
    for (const file of [join(directory, 'relative'), './relative', 'relative']) {
      const result = await runCli(['run', 'sh', '-c', 'exit 5'], { env, file, cwd: directory });
      expect({ file, ...result }).toMatchObject({ file, code: 5, stderr: '' });
    }
  });

  it('C1: 125 and one line where stdout cannot be written', async () => {
    const full = openSync('/dev/full', 'w');
    scenario.defer(() => closeSync(full));
    const directory = scratch();
    for (const args of [
      ['sweep', '--json', directory],
      ['sweep', '--help'],
      ['run', '--help'],
    ]) {
      const child = startCli(args, { env: scenario.env, stdio: ['ignore', full, 'pipe'] });
      const { code, stderr } = await finish(child);
      expect({ args, code }).toEqual({ args, code: 125 });
      expect(stderr).toMatch(/^procgroup \w+: cannot write to stdout: ENOSPC\n$/);
    }
  });

  it('C1: prints help and version on stdout', async () => {
    for (const args of [
      ['--help'],
      ['run', '--help'],
      ['sweep', '--help'],
      ['kill', '--help'],
      ['tree', '--help'],
      ['doctor', '--help'],
    ]) {
      const { code, stdout, stderr } = await runCli(args, { env: scenario.env });
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      expect(stdout).toMatch(/^Usage: procgroup/);
    }
    expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });
});
