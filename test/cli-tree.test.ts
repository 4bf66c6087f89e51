// `procgroup tree` and `procgroup doctor`: right for machines, readable for people, harmless in a pipe.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ProcessInfo } from '../lib/procfs.js';
import { bin, runCli } from './support/cli.js';
import { scriptEnv } from './support/environment.mjs';
import { stat, waitUntil } from './support/oracle.js';
import { deny, member } from './support/paths.mjs';
import { Pty } from './support/pty.js';
import { readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const { renderTotals, renderTree } = (await import(
  '../dist/cli/tree-view.js'
)) as typeof import('../lib/cli/tree-view.js');
const { displayWidth, styleFor } = (await import('../dist/cli/style.js')) as typeof import('../lib/cli/style.js');

const ESCAPE = '\u001b';

interface TreeJson {
  processes: (ProcessInfo & { groupLeader: boolean; sessionLeader: boolean })[];
  totals: { processes: number; groups: number; sessions: number; stopped: number; zombies: number };
}

async function start(...verb: string[]): Promise<number> {
  const child = spawn(member, verb, { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  scenario.defer(() => {
    process.kill(-(child.pid as number), 'SIGKILL');
    return waitUntil(() => scenario.alive().length === 0 || null, { what: 'the end of the group' });
  });
  return (await readReady(child.stdout)).pid;
}

describe('tree --json', () => {
  it('has every process below the pid, as /proc has it', async () => {
    const pid = await start('stopped-member');
    const { code, stdout, stderr } = await runCli(['tree', '--json', String(pid)], { env: scenario.env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { processes, totals } = JSON.parse(stdout) as TreeJson;
    expect(processes.map((process) => process.pid).sort()).toEqual(
      scenario
        .alive()
        .map((live) => live.pid)
        .sort(),
    );
    for (const process of processes) {
      const { ppid, pgid, sid, state, comm, startTime, threads } = process;
      expect(stat(process.pid)).toEqual({ pid: process.pid, ppid, pgid, sid, state, comm, startTime, threads });
      expect(process.rss).toBeGreaterThan(0);
      expect(process.ageSeconds).toBeGreaterThanOrEqual(0);
      expect(process.ageSeconds).toBeLessThan(60);
    }
    expect(processes[0]).toMatchObject({ pid, groupLeader: true, sessionLeader: true });
    expect(totals).toMatchObject({ processes: 2, groups: 1, sessions: 1, stopped: 1, zombies: 0 });
  });

  it('without a pid has this test too, and no kernel thread', async () => {
    const { stdout } = await runCli(['tree', '--json'], { env: scenario.env });
    const { processes } = JSON.parse(stdout) as TreeJson;
    expect(processes.map((info) => info.pid)).toContain(process.pid);
    expect(processes.filter((info) => info.comm === 'kthreadd')).toEqual([]);
  });
});

describe('tree', () => {
  it('is plain in a pipe', async () => {
    const pid = await start('wide', '2');
    const { code, stdout } = await runCli(['tree', String(pid)], { env: { ...scenario.env, FORCE_COLOR: undefined } });
    expect(code).toBe(0);
    expect(stdout).not.toContain(ESCAPE);
    expect(stdout.split('\n')[0]).toMatch(/^ *PID +PGID +SID +S +AGE +MEM +COMMAND$/);
    expect(stdout).toMatch(/3 processes/);
  });

  it('is coloured on a terminal and no wider', async () => {
    const pid = await start('wide', '2');
    const env = scriptEnv({ ...scenario.env, TERM: 'xterm', LC_ALL: 'C.UTF-8', NO_COLOR: '', FORCE_COLOR: undefined });
    const pty = new Pty([bin, 'tree', String(pid)], { env, columns: 50 });
    scenario.defer(() => pty.close());
    expect(await pty.end).toEqual({ code: 0, signal: null });
    await pty.expect('group leader');
    expect(pty.output).toContain(ESCAPE);
    for (const line of pty.output.split('\r\n').slice(0, 4)) expect(displayWidth(line)).toBeLessThanOrEqual(50);
    expect(pty.output).toContain('└─');
  });

  it('honours FORCE_COLOR and NO_COLOR', async () => {
    const pid = String(process.pid);
    const forced = await runCli(['tree', pid], { env: { ...scenario.env, FORCE_COLOR: '1' } });
    expect(forced.stdout).toContain(ESCAPE);
    const none = styleFor({ isTTY: true, columns: 80 }, { NO_COLOR: '1', TERM: 'xterm' });
    expect(none.paint('red', 'text')).toBe('text');
  });

  it('survives a reader that leaves', async () => {
    const env = scriptEnv(scenario.env);
    const { code, stderr } = await new Promise<{ code: number | null; stderr: string }>((resolve) => {
      const child = spawn('bash', ['-c', `set -o pipefail; "${bin}" tree --json | true`], {
        env,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let stderr = '';
      child.stderr.on('data', (text) => {
        stderr += String(text);
      });
      child.on('close', (code) => resolve({ code, stderr }));
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('says that a pid is not there: exit status 1; bad use: 125', async () => {
    const absent = await runCli(['tree', String(0x7fff_fff0)], { env: scenario.env });
    expect(absent).toMatchObject({ code: 1, stdout: '', stderr: `procgroup tree: no process ${0x7fff_fff0}\n` });
    expect(await runCli(['tree', 'init'], { env: scenario.env })).toMatchObject({ code: 125, stdout: '' });
  });
});

describe('the drawing', () => {
  const plain = styleFor({}, { LANG: 'C.UTF-8' });
  const info = (pid: number, ppid: number, more: Partial<ProcessInfo> = {}): ProcessInfo => ({
    pid,
    ppid,
    pgid: 10,
    sid: 10,
    state: 'S',
    comm: `p${pid}`,
    commandLine: `program ${pid}`,
    startTime: pid,
    ageSeconds: 3,
    rss: 1024 * pid,
    threads: 1,
    kernelThread: false,
    ...more,
  });
  const FOREST = [
    info(10, 1),
    info(11, 10, { pgid: 11 }),
    info(12, 11, { state: 'T' }),
    info(13, 10, { state: 'Z', commandLine: '', rss: 0 }),
    info(14, 999, { commandLine: `evil${ESCAPE}[2J\u0007\nname` }),
  ];

  it('has branches, marks, words for odd states, and nothing that moves the cursor', () => {
    const lines = renderTree(FOREST, plain);
    expect(lines.map((line) => line.slice(line.indexOf(' K ') + 1)).length).toBe(6);
    expect(lines.map((line) => line.replace(/^.*\d[KMG] {2}/, '')).slice(1)).toEqual([
      '◆ program 10',
      '◇ ├─ program 11',
      '  │  └─ program 12 (stopped)',
      '  └─ [p13] (zombie)',
      '  evil\u{fffd}[2J\u{fffd} name',
    ]);
    expect(renderTotals(FOREST, plain)[0]).toBe(
      '5 processes · 2 groups · 1 session · 47K resident · 1 stopped · 1 zombie',
    );
  });

  it('uses ASCII where the locale has nothing else', () => {
    const lines = renderTree(FOREST, styleFor({}, { LC_ALL: 'C' }));
    expect(lines.join('\n')).toMatch(/^[\x20-\x7e\n\u{fffd}]*$/u);
    expect(lines[2]).toContain('* |- program 11');
  });

  it.each([20, 40, 79])('fits %i columns with wide characters', (columns) => {
    const style = styleFor({ isTTY: true, columns }, { LANG: 'C.UTF-8', TERM: 'xterm' });
    const long = FOREST.map((process) => ({ ...process, commandLine: '漢字😀'.repeat(40) }));
    for (const line of renderTree(long, style)) {
      // The numbers are never cut: 38 columns.
      expect(displayWidth(line)).toBeLessThanOrEqual(Math.max(columns, 38));
    }
  });

  it('draws a chain deeper than the stack of calls', () => {
    const chain = Array.from({ length: 5_000 }, (_, at) => info(at + 10, at + 9));
    const lines = renderTree(chain, styleFor({ isTTY: true, columns: 80 }, { LANG: 'C.UTF-8', TERM: 'xterm' }));
    expect(lines).toHaveLength(5_001);
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80);
  });
});

describe('doctor', () => {
  interface Found {
    kernel: string;
    features: { name: string; available: boolean; errno: string | null; since: string }[];
    containments: { name: string; available: boolean; why: string; fix: string | null }[];
  }

  it('tells kernel, features and containments', async () => {
    const { code, stdout, stderr } = await runCli(['doctor', '--json'], { env: scenario.env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const found = JSON.parse(stdout) as Found;
    expect(found.features.length).toBeGreaterThan(3);
    expect(found.containments.map(({ name }) => name)).toEqual(['leader', 'group', 'tree', 'cgroup', 'namespace']);
    expect(found.containments.find(({ name }) => name === 'group')?.available).toBe(true);
    const plain = await runCli(['doctor'], { env: { ...scenario.env, FORCE_COLOR: undefined } });
    expect(plain.stdout).not.toContain(ESCAPE);
    for (const { name } of [...found.features, ...found.containments]) expect(plain.stdout).toContain(name);
  });

  it('tries each containment, and tells what to change', async () => {
    const env = scenario.env;
    const via = [deny, 'clone3:ENOSYS,clone/namespaces:EPERM,mkdirat:EACCES', '--', bin];
    const [file = '', ...args] = via;
    const { code, stdout } = await runCli([...args, 'doctor', '--json'], { env, file });
    expect(code).toBe(0);
    const { containments } = JSON.parse(stdout) as Found;
    expect(containments.map(({ available }) => available)).toEqual([true, true, true, false, false]);
    const of = (wanted: string) => containments.find(({ name }) => name === wanted);
    expect(of('namespace')).toMatchObject({
      why: expect.stringContaining('EPERM'),
      fix: expect.stringContaining('seccomp'),
    });
    expect(of('cgroup')?.why).toMatch(/EACCES|no cgroup v2 hierarchy/);
    expect(of('cgroup')?.fix).toMatch(/Delegate=yes|cgroupns|mount/);
    const plain = await runCli([...args, 'doctor'], { env: { ...env, FORCE_COLOR: undefined }, file });
    expect(plain.stdout).toMatch(/What to change\n {2}cgroup: .*\n {2}namespace: .*seccomp/);
  });

  it('shows what is denied as missing', async () => {
    const env = { ...scenario.env, PROCGROUP_TEST_DISABLE: 'clone3' };
    const { code, stdout } = await runCli(['doctor', '--json'], { env });
    expect(code).toBe(0);
    const denied = (JSON.parse(stdout) as Found).features.find(({ name }) => name.includes('clone3'));
    expect(denied?.available).toBe(false);
  });
});

it.each(['--help', '--version', 'tree', 'doctor', 'kill --help'])(
  'C4: %s on a full disk: 125 and one line',
  async (words) => {
    const full = openSync('/dev/full', 'w');
    scenario.defer(() => closeSync(full));
    const args = words.split(' ');
    const { code, stderr } = await runCli(args, { env: scenario.env, stdio: ['ignore', full, 'pipe'] });
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringMatching(/^procgroup \S+: ENOSPC: .*\n$/) });
  },
);
