// The guardian alone, without Node: its command line, and what it leaves as it was.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  constants as fsConstants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bin, finish, startCli } from './support/cli.js';
import { guardian, ready, start } from './support/guardian-cli.js';
import { childrenOf, openFds, stat, waitUntil } from './support/oracle.js';
import { member, root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const begin = (...args: string[]) => start([guardian, ...args], { env: scenario.env });
const run = (...args: string[]) => finish(begin(...args));
const sh = (script: string, ...args: string[]) =>
  finish(start(['sh', '-c', script, 'sh', ...args], { env: scenario.env }));
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string };

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'procgroup-'));
  scenario.defer(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** The lines that start with `key` in /proc/PID/FILE, summed up. */
function sum(pid: number, file: string, key: string): number {
  const lines = readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith(key)).reduce((all, line) => all + Number(line.split(/\s+/)[1]), 0);
}

describe('the command line', () => {
  it('is that of `procgroup run`, with and without the word', async () => {
    for (const word of [[], ['run']]) {
      expect(await run(...word, '--', 'sh', '-c', 'exit 3')).toMatchObject({ code: 3, stderr: '' });
      expect(await run(...word, '--timeout=60', '--isolation=session', 'sh', '-c', 'exit 4')).toMatchObject({
        code: 4,
      });
      expect((await run(...word, '--version')).stdout).toBe(`${version}\n`);
      expect((await run(...word, '--help')).stdout).toMatch(/^Usage: procgroup run.*--rewrite/s);
    }
    expect((await run('--', 'run')).code, 'a command of that name').toBe(127);
  });

  it.each([
    ['no command', [], /no command given/],
    ['an unknown option', ['--walk=1', 'true'], /unknown option '--walk'/],
    ['an abbreviation', ['--time', '5s', 'true'], /unknown option '--time'/],
    ['control characters', ['--\x1b[2J\n', 'true'], /unknown option '--\?\[2J '/],
    ['a signal out of range', ['--rewrite', '65:TERM', 'true'], /'65' is not a signal/],
    ['a signal that is none', ['--teardown', 'TERMS:1s', 'true'], /'TERMS' is not a signal/],
    ['a trailing comma', ['--teardown', 'TERM:1s,', 'true'], /'' is not a step/],
    ['too many steps', ['--teardown', Array(17).fill('INT:1').join(), 'true'], /at most 16/],
    ['an empty duration', ['--timeout', '', 'true'], /'' is not a duration/],
    ['an unknown unit', ['--timeout', '5d', 'true'], /'5d' is not a duration/],
    ['a negative duration', ['--timeout', '-5', 'true'], /'-5' is not a duration/],
    ['a very long duration', ['--timeout', '99999999999999999999h', 'true'], /longer than 24 days/],
    [
      'an unknown containment',
      ['--containment', 'box', 'true'],
      /takes leader, group, tree, cgroup, namespace, not 'box'/,
    ],
    ['a limit without a cgroup', ['--limit', 'pids.max=5', 'true'], /need --containment cgroup/],
    ['a limit that is none', ['--containment', 'cgroup', '--limit', 'pids.max', 'true'], /'pids.max' is not a limit/],
    ['a limit that moves us', ['--containment', 'cgroup', '--limit', 'cgroup.procs=0', 'true'], /is not a limit/],
    ['a limit elsewhere', ['--containment', 'cgroup', '--limit', '../x=1', 'true'], /is not a limit/],
    ['inherit and a group', ['--containment', 'group', '--isolation', 'inherit', 'true'], /group is procgroup's own/],
    ['inherit and a namespace', ['--containment', 'namespace', '--isolation', 'inherit', 'true'], /does not go with/],
  ])('is refused with 125 and one line: %s', async (_, args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toMatch(/^procgroup-guardian: [^\n]*\n$/);
    expect(stderr).toMatch(message);
  });

  it.each(['24d', '.5m', '1.5m', '0.01h', '2147483s', '0', '5.'])('takes or refuses the duration %s', async (text) => {
    expect((await run('--timeout', text, 'sh', '-c', 'exit 6')).code).toBe(text === '24d' ? 125 : 6);
  });
});

describe('what the command gets is what the guardian was given', () => {
  interface Self extends Record<string, unknown> {
    cwd: string;
    fds: Record<string, string>;
    rlimits: { nofile: [number, number] };
    SigIgn: string;
  }
  const bits = (mask: string): number[] =>
    Array.from({ length: 64 }, (_, at) => at + 1).filter((n) => (BigInt(`0x${mask}`) >> BigInt(n - 1)) & 1n);

  /** What `member self` shows, with the guardian before it and without; without what must differ. */
  async function both(script: string): Promise<[Self, Self]> {
    const [own, plain] = await Promise.all(
      [[guardian, '--'], []].map(async (before) => {
        const { stdout } = await sh(`${script}`, ...before, member, 'self');
        const { pid: _1, ppid: _2, pgid: _3, pdeathsig: _4, ...rest } = JSON.parse(stdout) as Self;
        return JSON.parse(JSON.stringify(rest).replace(/\[\d+\]/g, '[N]')) as Self;
      }),
    );
    return [own as Self, plain as Self];
  }

  it('ignored signals (nohup), and no others', async () => {
    for (const script of ['trap "" HUP USR1; exec "$@"', 'exec "$@"']) {
      const [own, plain] = await both(script);
      expect(own).toEqual(plain);
      expect(bits(own.SigIgn).includes(constants.signals.SIGHUP)).toBe(script.includes('HUP'));
    }
    // SIGCHLD must have its default action where children are waited for.
    expect(bits((await both('trap "" CHLD; exec "$@"'))[0].SigIgn)).toEqual([]);
  });

  it('nohup keeps it alive when the terminal hangs up', async () => {
    const child = start(['nohup', guardian, member, 'report-signals'], { env: scenario.env });
    await ready(child);
    process.kill(child.pid as number, 'SIGHUP');
    process.kill(child.pid as number, 'SIGUSR1');
    expect((await finish(child)).code).toBe(0);
  });

  it('limits, descriptors, directory', async () => {
    const [own, plain] = await both('ulimit -n 77; cd /usr; exec 5</dev/null 9>/dev/zero; exec "$@"');
    expect(own).toEqual(plain);
    expect(own.rlimits.nofile[0]).toBe(77);
    expect(own.fds).toMatchObject({ 5: '/dev/null', 9: '/dev/zero' });
  });

  it.each(['<&-', '2>&-', '<&- 2>&-'])('closed standard descriptors: %s', async (closed) => {
    const [own, plain] = await both(`exec "$@" ${closed}`);
    expect(own).toEqual(plain);
  });

  it('the mode of a shared pipe', async () => {
    const flags = (fd: number) =>
      Number.parseInt(/flags:\t(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '', 8);
    const fifo = `${scratch()}/fifo`;
    execFileSync('mkfifo', [fifo]);
    for (const mode of [0, fsConstants.O_NONBLOCK]) {
      // Node itself changes descriptors below 3.
      const fd = openSync(fifo, fsConstants.O_RDWR | mode);
      const stdio = ['ignore', 'ignore', 'inherit', fd] as const;
      const script = 'exec "$@" <&3 >&3 2>&3';
      const child = start(['sh', '-c', script, 'sh', guardian, 'sh', '-c', 'exit 2'], {
        env: scenario.env,
        stdio: [...stdio],
      });
      expect((await finish(child)).code).toBe(2);
      expect(flags(fd) & fsConstants.O_NONBLOCK).toBe(mode);
      closeSync(fd);
    }
  });
});

describe('what the guardian holds', () => {
  it('is neither a Node nor a shell, and hardly any memory', async () => {
    const child = startCli(['run', '--', member, 'sleep'], { env: scenario.env });
    const { pid: command } = await ready(child);
    const pid = child.pid as number;
    expect(
      scenario
        .alive()
        .map((live) => live.pid)
        .sort(),
    ).toEqual([pid, command].sort());
    expect(readlinkSync(`/proc/${pid}/exe`)).toMatch(/procgroup-guardian$/);
    expect(childrenOf(pid)).toEqual([command]);
    await waitUntil(() => readlinkSync(`/proc/${pid}/cwd`) === '/' || null, { what: 'the end of the start' });
    if (process.env.PROCGROUP_TEST_GUARDIAN === undefined) {
      expect(sum(pid, 'smaps_rollup', 'Rss:')).toBeLessThanOrEqual(1024);
      expect(
        sum(pid, 'smaps_rollup', 'Private_Dirty:') + sum(pid, 'smaps_rollup', 'Private_Clean:'),
      ).toBeLessThanOrEqual(64);
    }
    process.kill(pid, 'SIGTERM');
    expect((await finish(child)).code).toBe(128 + 15);
  });

  it('is no end of a pipe that the command has closed', async () => {
    const script = 'exec <&- >&- 4>&-; echo closed >&2; exec "$1" sleep';
    const child = start(['sh', '-c', `exec 4>&1; exec ${guardian} -- sh -c '${script}' sh ${member}`], {
      env: scenario.env,
    });
    const ended = new Promise((resolve) => child.stdout?.once('end', resolve));
    child.stdout?.resume();
    await ended;
    const others = () =>
      openFds(child.pid).filter(({ fd, target }) => fd !== 2 && !/anon_inode:\[(signalfd|pidfd)\]$/.test(target));
    await waitUntil(() => others().length === 0 || null, { what: 'no descriptor but its own' });
    process.kill(child.pid as number, 'SIGTERM');
    await finish(child);
  });

  it('is no directory', async () => {
    const child = begin(member, 'sleep');
    await ready(child);
    // The command may be faster than what the guardian does after its start.
    await waitUntil(() => readlinkSync(`/proc/${child.pid}/cwd`) === '/' || null, { what: 'the directory /' });
    process.kill(child.pid as number, 'SIGTERM');
    await finish(child);
  });
});

describe('bin/procgroup', () => {
  it('says in one line what is missing', async () => {
    const copy = scratch();
    const file = join(copy, 'bin/procgroup');
    mkdirSync(join(copy, 'bin'));
    copyFileSync(bin, file);
    const { PROCGROUP_TEST_GUARDIAN: _, ...env } = scenario.env;
    const { code, stdout, stderr } = await finish(startCli(['run', 'true'], { env, file }));
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toMatch(/^procgroup run: .*prebuilds\/linux-\w+\/procgroup-guardian is missing[^\n]*\n$/);
    const prebuilt = join(copy, 'prebuilds', `linux-${process.arch}`);
    mkdirSync(prebuilt, { recursive: true });
    symlinkSync(guardian, join(prebuilt, 'procgroup-guardian'));
    expect((await finish(startCli(['run', 'sh', '-c', 'exit 8'], { env, file }))).code).toBe(8);
  });

  it('stays when its parent dies', async () => {
    // The command's own ready line is not the one that is waited for.
    const script = `${bin} run -- ${member} sleep > /dev/null & echo "ready {\\"guardian\\":$!}"; exec sleep 1000`;
    const child = start(['sh', '-c', script], { env: scenario.env });
    const said = (await ready(child)) as unknown as { guardian: number };
    const comms = () => childrenOf(said.guardian).map((pid) => stat(pid)?.comm);
    await waitUntil(() => comms().includes('member') || null, { what: 'the command' });
    process.kill(child.pid as number, 'SIGKILL');
    await waitUntil(() => stat(said.guardian)?.ppid !== child.pid || null, { what: 'another parent' });
    expect(scenario.alive()).toHaveLength(2);
    process.kill(said.guardian, 'SIGTERM');
    await waitUntil(() => scenario.alive().length === 0 || null, { what: 'the end' });
    child.stdout?.destroy();
  });
});
