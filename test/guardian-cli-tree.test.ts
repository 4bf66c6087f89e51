// E1 by the command line: what a command starts is gone when `procgroup run` returns, wherever it went.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bin, finish } from './support/cli.js';
import { collect, guardian, ready, start } from './support/guardian-cli.js';
import { childrenOf, isDead, stat, waitUntil } from './support/oracle.js';
import { member, tracer } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const GRACE = ['--teardown', 'TERM:100ms'];

async function begin(...args: string[]) {
  const child = start([guardian, ...GRACE, ...args], { env: scenario.env });
  const said = await ready(child);
  return { child, said, pid: child.pid as number };
}

describe('who left the group or the session is gone as well', () => {
  const VERBS: [string, ...string[]][] = [
    ['setsid'],
    ['setpgid'],
    ['double-fork'],
    ['stopped-member'],
    ['main-thread-ended'],
    ['unreaped-member'],
    ['deep', '40'],
    ['wide', '60'],
  ];

  it.each(VERBS)('%s', async (...verb) => {
    const { child, said, pid } = await begin(member, ...verb);
    expect(scenario.alive().length).toBeGreaterThan(said.members.length);
    process.kill(pid, 'SIGTERM');
    const { code, stderr } = await finish(child);
    expect({ own: code === 143 || code === 0, stderr }, 'the leader’s own status').toEqual({ own: true, stderr: '' });
    expect(scenario.alive()).toEqual([]);
  });

  it('a shell behind nohup and setsid, whose leader has ended', async () => {
    const script = `nohup setsid ${member} -r 3 ignore-term 3>&1 >/dev/null 2>&1 & exit 6`;
    const child = start([guardian, ...GRACE, '--', 'sh', '-c', script], { env: scenario.env });
    expect((await finish(child)).code).toBe(6);
    expect(scenario.alive()).toEqual([]);
  });

  it('a supervisor of our own inside, with a daemon below it', async () => {
    const inner = [bin, 'run', '--teardown', 'TERM:60s', '--isolation', 'session', '--', member, 'double-fork'];
    const { child, pid } = await begin(...inner);
    expect(scenario.alive()).toHaveLength(4);
    process.kill(pid, 'SIGTERM');
    expect((await finish(child)).code).toBe(143);
    expect(scenario.alive()).toEqual([]);
  });

  it('also after a timeout, and where the command shares our group', async () => {
    for (const isolation of ['inherit', 'group', 'session']) {
      const { child } = await begin('--timeout', '1s', '--isolation', isolation, '--', member, 'setpgid');
      expect(await finish(child)).toMatchObject({ code: 124, stderr: '' });
      expect(scenario.alive(), isolation).toEqual([]);
    }
  });

  it('strangers in a shared group are spared', async () => {
    const script = `${member} sleep & ${guardian} --isolation inherit --teardown TERM:100ms --timeout 100ms ${member} ignore-term; echo end $?; wait`;
    const child = start(['setsid', 'sh', '-c', script], { env: scenario.env });
    let shown = '';
    child.stdout?.on('data', (text) => {
      shown += String(text);
    });
    await waitUntil(() => shown.includes('end 124') || null, { what: 'the timeout' });
    expect(scenario.alive().map(({ cmdline }) => cmdline.split(' ')[0])).toEqual(['sh', member]);
    for (const { pid } of scenario.alive()) process.kill(pid, 'SIGKILL');
    await finish(child);
  });
});

describe('children that the process had before it became procgroup', () => {
  const behind = async (...args: string[]) => {
    const script = `sleep 1000 > /dev/null 2>&1 & exec ${guardian} ${GRACE.join(' ')} "$@"`;
    const child = start(['setsid', 'sh', '-c', script, 'sh', ...args], { env: scenario.env });
    const said = await ready(child);
    const helper = childrenOf(child.pid).find((pid) => stat(pid)?.comm === 'sleep') ?? expect.fail('no helper');
    scenario.leaves();
    return { child, said, helper, pid: child.pid as number };
  };

  it.each([
    ['tree', 'group'],
    ['tree', 'inherit'],
    ['tree', 'session'],
    ['group', 'group'],
    ['leader', 'group'],
  ])('are not its own: --containment %s --isolation %s', async (containment, isolation) => {
    const options = ['--containment', containment, '--isolation', isolation];
    const { child, helper, pid } = await behind(...options, '--', member, 'wide', '3');
    process.kill(pid, 'SIGTERM');
    expect(await finish(child)).toMatchObject({ code: 143, stderr: '' });
    expect(isDead(helper)).toBe(false);
    if (containment === 'tree') expect(scenario.alive().map((live) => live.pid)).toEqual([helper]);
  });

  it('still read what the command has written: exec ... > >(logger)', async () => {
    const script = `exec 3<&0; exec ${guardian} sh -c 'echo last words; exit 5' > >(read -r go <&3; sed s/^/log:/)`;
    const child = start(['bash', '-c', script], { env: scenario.env });
    const shown = collect(child);
    const closed = once(child, 'close');
    expect(await once(child, 'exit')).toEqual([5, null]);
    child.stdin?.end('go\n');
    await closed;
    expect(shown()).toBe('log:last words\n');
  });

  it('do not keep signals from the command, and none comes twice', async () => {
    const { child, pid } = await behind('--', member, 'report-signals');
    const shown = collect(child);
    process.kill(pid, 'SIGHUP');
    await waitUntil(() => shown().includes('got 1 1') || null, { what: 'SIGHUP' });
    process.kill(-pid, 'SIGINT');
    await waitUntil(() => shown().includes('got 2 1') || null, { what: 'SIGINT' });
    process.kill(pid, 'SIGUSR1');
    expect((await finish(child)).code).toBe(0);
    expect(shown().match(/got/g)).toHaveLength(2);
  });

  it('leave the command bound to the process that was called', async () => {
    const { child, said, helper, pid } = await behind('--', member, 'sleep');
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isDead(said.pid), { what: 'the command’s end' });
    expect(isDead(helper)).toBe(false);
    child.stdout?.destroy();
  });
});

describe('--containment', () => {
  it.each(['setsid', 'double-fork', 'setpgid'])('group does not reach %s (the control of the above)', async (verb) => {
    scenario.leaves();
    const { child, said, pid } = await begin('--containment', 'group', '--report', '/dev/fd/1', '--', member, verb);
    process.kill(pid, 'SIGTERM');
    const { code, stdout } = await finish(child);
    expect(code).toBe(143);
    expect(JSON.parse(stdout)).toMatchObject({ empty: true, covers: 'group', evidence: 'esrch' });
    expect(scenario.alive().map((live) => live.pid)).toEqual(said.members);
  });

  it.each([
    ['stopped-member', 'esrch'],
    ['grandchild-ignores-term', 'esrch'],
    ['unreaped-member', 'census'],
  ])('group ends the group: %s', async (verb, evidence) => {
    scenario.leaves();
    const { child, said, pid } = await begin('--containment', 'group', '--report', '/dev/fd/1', '--', member, verb);
    process.kill(pid, 'SIGTERM');
    const { stdout } = await finish(child);
    const seen = JSON.parse(stdout) as { evidence: string };
    // Where the guardian itself has reaped the last member, it has the kernel's word as well.
    expect(seen).toMatchObject({ empty: true, covers: 'group', survivors: [] });
    expect(['echild', evidence]).toContain(seen.evidence);
    const inGroup = scenario.alive().filter(({ pgid }) => pgid === said.pid);
    expect(inGroup).toEqual([]);
  });

  it('group covers the session that the command leads', async () => {
    const { child, pid } = await begin('--containment', 'group', '--isolation', 'session', '--', member, 'setpgid');
    process.kill(pid, 'SIGTERM');
    expect((await finish(child)).code).toBe(143);
    expect(scenario.alive()).toEqual([]);
  });

  it('leader ends with the command, and leaves the rest', async () => {
    scenario.leaves();
    const { child, said } = await begin(
      '--containment',
      'leader',
      '--report',
      '/dev/fd/1',
      '--',
      member,
      'leader-exits-first',
    );
    const { code, stdout } = await finish(child);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ empty: true, cause: null, covers: 'leader', evidence: 'leader' });
    expect(scenario.alive().map((live) => live.pid)).toEqual(said.members);
  });

  it('leader is signalled alone, by the ladder too', async () => {
    scenario.leaves();
    const { child, said } = await begin('--containment', 'leader', '--timeout', '100ms', '--', member, 'wide', '2');
    expect((await finish(child)).code).toBe(124);
    expect(
      scenario
        .alive()
        .map((live) => live.pid)
        .sort(),
    ).toEqual([...said.members].sort());
  });
});

describe('what cannot be ended', () => {
  it('is named on stderr and in the report, in bounded time and without a busy loop', async () => {
    const { child, said, pid } = await begin('--report', '/dev/fd/1', '--', member, 'wide', '2');
    const [held = 0] = said.members;
    const trace = start([tracer, 'exit-stop', String(held)], { env: scenario.env });
    await readReady(trace.stdout as NonNullable<typeof trace.stdout>);
    const used = (): number => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) * 10;
    };
    let cpuMs = 0;
    const watch = waitUntil(
      () => {
        if (stat(pid)?.state !== 'Z') cpuMs = used();
        return child.exitCode !== null || null;
      },
      { what: 'the end', everyMs: 50 },
    );
    process.kill(pid, 'SIGTERM');
    const { code, stdout, stderr } = await finish(child);
    await watch.catch(() => {});
    expect(code, 'the command’s').toBe(143);
    expect(stderr).toBe(`procgroup-guardian: ${held} (member) survived, state t, held by its tracer\n`);
    expect(JSON.parse(stdout)).toMatchObject({
      empty: false,
      exitStatus: 143,
      survivors: [{ pid: held, comm: 'member', state: 't', error: null, heldByTracer: true }],
    });
    expect(cpuMs).toBeLessThan(1_000);
    trace.kill('SIGKILL');
    await waitUntil(() => isDead(held), { what: 'the end of what was held' });
  });
});
