// `procgroup kill`: what already runs ends, verified, and nothing else does.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { runCli } from './support/cli.js';
import { scriptEnv } from './support/environment.mjs';
import { stat, waitUntil } from './support/oracle.js';
import { member, tracer } from './support/paths.mjs';
import { type Ready, readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface Started extends Ready {
  child: ChildProcess;
}

/** A member that leads a group of its own and is no child of procgroup. */
async function start(...verb: string[]): Promise<Started> {
  const child = spawn(member, verb, { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  return { ...(await readReady<Ready>(child.stdout)), child };
}

const kill = (...args: string[]) => runCli(['kill', ...args], { env: scenario.env });

describe('a pid', () => {
  it('is that process alone', async () => {
    const { members } = await start('wide', '3');
    const [leader, ...rest] = scenario
      .alive()
      .map(({ pid }) => pid)
      .sort((a, b) => a - b) as [number, ...number[]];
    expect(rest.length, String(members)).toBe(3);
    const victim = rest[0] as number;
    const { code, stdout, stderr } = await kill(String(victim));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^\\S ${victim} \\(member\\): gone after \\S+ \\(SIGTERM\\)\\n$`));
    expect(scenario.alive().map(({ pid }) => pid)).not.toContain(victim);
    expect(scenario.alive().length).toBeGreaterThanOrEqual(rest.length - 1);
    expect((await kill(`-${leader}`)).code).toBe(0);
    expect(scenario.alive()).toEqual([]);
  });

  it('that ignores SIGTERM gets SIGKILL when the grace ends', async () => {
    const { pid } = await start('ignore-term');
    const { code, stdout } = await kill('--teardown', 'TERM:50ms,INT:0', '--json', String(pid));
    expect(code).toBe(0);
    const [target] = (JSON.parse(stdout) as { targets: { steps: { signal: string }[] }[] }).targets;
    expect(target).toMatchObject({ target: String(pid), kind: 'process', found: true, empty: true, survivors: [] });
    const signals = target?.steps.map(({ signal }) => signal);
    expect([
      ['SIGTERM', 'SIGINT'],
      ['SIGTERM', 'SIGINT', 'SIGKILL'],
    ]).toContainEqual(signals);
  });

  it('that is stopped dies on the first step', async () => {
    const { pid } = await start('sleep');
    process.kill(pid, 'SIGSTOP');
    await waitUntil(() => stat(pid)?.state === 'T' || null, { what: 'the stop' });
    const { code, stdout } = await kill('--teardown', 'TERM:30s', String(pid));
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('(SIGTERM)') });
  });

  it('that does not die is a survivor: exit status 1', async () => {
    const { pid, child } = await start('sleep');
    const holder = spawn(tracer, ['exit-stop', String(pid)], {
      env: scenario.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await readReady(holder.stdout);
    const { code, stdout } = await kill('--teardown', 'TERM:50ms', String(pid));
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/1 survivor after .*SIGKILL.*state t/) });
    holder.kill('SIGKILL');
    await once(child, 'exit');
  });
});

describe('a -pgid', () => {
  it('is the whole group, whose leader may end first', async () => {
    const { pid } = await start('grandchild-ignores-term');
    const { code, stdout, stderr } = await kill('--teardown', 'TERM:100ms', `-${pid}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^\\S -${pid} \\(member\\): empty after \\S+ \\(SIGTERM, SIGKILL\\)\\n$`));
    expect(scenario.alive()).toEqual([]);
  });

  it('is found where the leader has gone', async () => {
    const { pid, child } = await start('leader-exits-first');
    if (child.exitCode === null) await once(child, 'exit');
    const { code } = await kill('--teardown', 'TERM:50ms', `-${pid}`);
    expect({ code, left: scenario.alive() }).toEqual({ code: 0, left: [] });
  });

  it('and pids may be given together: one line each, in their order', async () => {
    const [one, two, three] = await Promise.all([start('sleep'), start('sleep'), start('sleep')]);
    const targets = [`-${one.pid}`, String(two.pid), `-${three.pid}`];
    const { code, stdout } = await kill(...targets);
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ')[1]),
    ).toEqual(targets);
    expect(scenario.alive()).toEqual([]);
  });
});

describe('what is not there', () => {
  it('counts as gone, and is told apart', async () => {
    const { pid, child } = await start('sleep');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { code, stdout } = await kill(String(pid), `-${pid}`);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^- ${pid}: no such process\\n- -${pid}: no such process group\\n$`));
  });
});

describe('refusals: 125 with one line', () => {
  it.each([
    [[], /no pid or -pgid given/],
    [['0'], /own process group/],
    [['-0'], /own process group/],
    [['1'], /init/],
    [['-1'], /init/],
    [['me'], /'me' is neither/],
    [['--force', '5'], /unknown option '--force'/],
    [['99999999999'], /is no process/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await kill(...args);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toMatch(/^procgroup kill: [^\n]*\n$/);
    expect(stderr).toMatch(message);
  });

  it('its own group, and then no target is touched', async () => {
    const { pid } = await start('sleep');
    // A group of its own, should the refusal fail.
    const child = spawn('sh', ['-c', `exec "$0" kill ${pid} "-$$"`, `${process.cwd()}/bin/procgroup`], {
      env: scriptEnv(scenario.env),
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const chunks: string[] = [];
    child.stderr.on('data', (text) => chunks.push(String(text)));
    const [code] = await once(child, 'close');
    expect({ code, stderr: chunks.join('') }).toEqual({
      code: 125,
      stderr: expect.stringMatching(/^procgroup kill: '-\d+' is procgroup's own process group[^\n]*\n$/),
    });
    expect(scenario.alive().map((live) => live.pid)).toContain(pid);
    await kill(`-${pid}`);
  });
});
