// `procgroup run` under containments that the kernel keeps.
import { once } from 'node:events';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Box, boxes, cgroupsBelow, outside, usableBoxes, usePlace } from './support/boxes.js';
import { bin, finish } from './support/cli.js';
import { subjectEnv } from './support/environment.mjs';
import { collect, guardian, ready, start } from './support/guardian-cli.js';
import { childrenOf, isDead, stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { Shell } from './support/pty.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { holdByTracer } from './support/tracer.js';
import { treeactor } from './support/trees.js';
import { unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('guardian-cli-contained');
const optionsOf = (box: Box): string[] => [
  '--containment',
  box,
  ...(box === 'cgroup' ? ['--cgroup-parent', place.path] : []),
];
const evidence = { cgroup: 'populated', namespace: 'namespace' } as const;

describe.each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  const begin = (...args: string[]) =>
    start([guardian, '--teardown', 'TERM:100ms', ...optionsOf(box), ...args], { env: scenario.env });
  const run = (...args: string[]) => finish(begin(...args));

  it('the exit status is the command’s', async () => {
    expect(await run('--', 'sh', '-c', 'exit 3')).toMatchObject({ code: 3, stderr: '' });
    expect(await run('--', member, 'die', '9')).toMatchObject({ code: 137 });
    expect(await run('--timeout', '100ms', '--', member, 'sleep')).toMatchObject({ code: 124 });
    expect(await run('--', '/no/such/program')).toMatchObject({ code: 127 });
    expect(await run('--', '/etc/passwd')).toMatchObject({ code: 126 });
    expect(place.leaves()).toEqual([]);
  });

  it('arguments, environment, directory and closed descriptors reach it as they are', async () => {
    const script = 'cd /usr; exec "$@" <&-';
    const child = start(['sh', '-c', script, 'sh', guardian, ...optionsOf(box), '--', member, 'self'], {
      env: scenario.env,
    });
    const { stdout } = await finish(child);
    expect(JSON.parse(stdout)).toMatchObject({ cwd: '/usr' });
    expect(Object.keys((JSON.parse(stdout) as { fds: object }).fds)).not.toContain('0');
  });

  it('what it has closed is closed: nobody else holds a copy', async () => {
    const child = begin('--', 'sh', '-c', 'exec >&-; exec sleep 1000');
    let ended = false;
    child.stdout
      ?.once('end', () => {
        ended = true;
      })
      .resume();
    await waitUntil(() => ended, { what: 'end of file' });
    child.kill('SIGTERM');
    expect((await finish(child)).code).toBe(143);
  });

  it('signals are forwarded to it, as often as they come', async () => {
    const child = begin('--', member, 'report-signals');
    await ready(child);
    const shown = collect(child);
    for (let count = 1; count <= 3; count++) {
      child.kill('SIGHUP');
      await waitUntil(() => shown().includes(`got 1 ${count}`), { what: `SIGHUP ${count}` });
    }
    child.kill('SIGUSR1');
    expect((await finish(child)).code).toBe(0);
  });

  it('E1: whoever left group, session and parent is gone when it returns', async () => {
    for (const verb of ['mixed', 'subreaper', 'daemon']) {
      const child = begin('--', treeactor, verb);
      await ready(child);
      child.kill('SIGTERM');
      expect((await finish(child)).code).toBe(143);
      expect(scenario.alive(), verb).toEqual([]);
      expect(place.leaves()).toEqual([]);
    }
  });

  it('the report says what it rests on', async () => {
    const { stdout } = await run('--report', '/dev/stdout', '--', 'sh', '-c', 'setsid sleep 300 & kill -9 $$');
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ empty: true, covers: box, evidence: evidence[box], exitStatus: 137 });
    expect(report.exit).toMatchObject({ signal: 'SIGKILL', limitsHit: [] });
    if (box === 'cgroup') expect(report.usage.userCPUTime + report.usage.systemCPUTime).toBeGreaterThan(0);
    else expect(report.usage).toBeNull();
  });

  it('the pid in the report is the one outside', async () => {
    const child = begin('--report', '/dev/stdout', '--', member, 'sleep');
    const said = await ready(child);
    const [pid = 0] = scenario
      .alive()
      .flatMap((one) =>
        one.cmdline.includes('sleep') && !one.cmdline.includes('procgroup-guardian') ? [one.pid] : [],
      );
    expect(pid === said.pid).toBe(box === 'cgroup');
    child.kill('SIGTERM');
    const { stdout } = await finish(child);
    expect(JSON.parse(stdout.slice(stdout.indexOf('{"empty"')))).toMatchObject({ pid, pgid: pid });
  });

  it('S4: SIGKILL of procgroup', async () => {
    const child = begin('--', treeactor, 'mixed');
    await ready(child);
    const before = scenario.alive().length;
    child.kill('SIGKILL');
    if (box === 'namespace') {
      await waitUntil(() => scenario.alive().length === 0, {
        timeoutMs: 2_000,
        what: 'the kernel has ended all of them',
      });
      return;
    }
    // Nobody watches over the guardian of a run: of a cgroup the leaf is left for a sweep.
    scenario.leaves();
    await waitUntil(() => scenario.alive().length === before - 2, { what: 'the leader dies with its parent' });
    const [leaf = ''] = place.leaves();
    expect(basename(leaf)).toMatch(new RegExp(`^procgroup\\.${child.pid}\\.`));
    expect(await finish(start([bin, 'sweep', place.path], { env: scenario.env }))).toMatchObject({ code: 0 });
    expect(scenario.alive()).toEqual([]);
  });

  it('on a terminal: Ctrl-C ends the command, and the shell has its terminal afterwards', async () => {
    const env = subjectEnv({ ...scenario.env, P: `${bin} run ${optionsOf(box).join(' ')}` });
    const bash = await Shell.start({ env });
    scenario.defer(() => bash.close());
    bash.type(`$P sh -c 'echo "re"ady; read line; echo "got-"$line; exec sleep 1000'\n`);
    await bash.expect('ready');
    bash.type('text\n');
    await bash.expect('got-text');
    bash.type('\x03');
    await bash.expect(Shell.PROMPT);
    expect(await bash.status()).toBe(130);
    expect(await bash.foreground()).toBe(await bash.pid);
  });
});

describe.skipIf(!usable.includes('cgroup'))('limits', () => {
  it('are set, and one that cannot be is named: 125', async () => {
    const args = ['--containment', 'cgroup', '--cgroup-parent', place.path];
    const shows = await finish(
      start(
        [
          guardian,
          ...args,
          '--limit',
          'cgroup.max.depth=7',
          '--',
          'sh',
          '-c',
          `cat ${place.path}/procgroup.*/cgroup.max.depth`,
        ],
        { env: scenario.env },
      ),
    );
    expect(shows).toMatchObject({ code: 0, stdout: '7\n' });
    const refused = await finish(
      start([guardian, ...args, '--limit', 'memory.max=1G', '--', 'true'], { env: scenario.env }),
    );
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(
      /^procgroup-guardian: true: cannot be started: cgroup: memory.max: subtree_control: \w+\n$/,
    );
    expect(cgroupsBelow(place.path)).toEqual([]);
    const elsewhere = await finish(
      start([guardian, '--containment', 'cgroup', '--cgroup-parent', '/tmp', 'true'], { env: scenario.env }),
    );
    expect(elsewhere).toMatchObject({ code: 125, stderr: expect.stringContaining('statfs') });
  });

  it.each([
    ['a limit without a value', ['--limit', 'cgroup.max.depth='], /cgroup.max.depth: write: EINVAL/],
    ['an empty parent', ['--cgroup-parent', ''], /'' is not a directory/],
  ])('%s is refused: 125', async (_, args, message) => {
    const own = ['--containment', 'cgroup', '--cgroup-parent', place.path];
    const { code, stderr } = await finish(start([guardian, ...own, ...args, 'true'], { env: scenario.env }));
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringMatching(message) });
    expect(cgroupsBelow(place.path)).toEqual([]);
  });
});

describe.skipIf(!usable.includes('namespace') || whyNoMixedUids() !== '')('for nobody', () => {
  it('a namespace with the same uid inside', async () => {
    const child = start(
      [...unprivileged, guardian, '--containment', 'namespace', '--', 'sh', '-c', 'id -u; echo $$; exit 4'],
      { env: scenario.env },
    );
    const { code, stdout } = await finish(child);
    expect({ code, stdout }).toEqual({ code: 4, stdout: `${unprivileged[2]}\n2\n` });
  });
});

describe.skipIf(!usable.includes('namespace'))('the process that stays outside', () => {
  it('is one, and its end is the end of all', async () => {
    const child = start([guardian, '--containment', 'namespace', '--', member, 'sleep'], { env: scenario.env });
    await ready(child);
    const [init = 0] = childrenOf(child.pid);
    expect(stat(init)?.comm).toBe(stat(child.pid ?? 0)?.comm);
    process.kill(init, 'SIGKILL');
    expect((await finish(child)).code).toBe(125);
    expect(isDead(init)).toBe(true);
    expect(scenario.alive()).toEqual([]);
  });

  it('loses no signal that comes while the namespace is being made', async () => {
    const ends = new Set<number | string | null>();
    for (let round = 0; round < scaled(150); round++) {
      const child = start([guardian, '--containment', 'namespace', '--', 'sleep', '2'], { env: scenario.env });
      const moment = performance.now() + (round % 30) / 10;
      await once(child, 'spawn');
      while (performance.now() < moment);
      child.kill('SIGTERM');
      const { code, signal } = await finish(child);
      ends.add(code ?? signal);
    }
    expect([...ends].filter((end) => end !== 143 && end !== 'SIGTERM')).toEqual([]);
  });

  it('G10: does not wait for a member that a tracer outside holds', async () => {
    const child = start(
      [guardian, '--teardown', 'TERM:100ms', '--containment', 'namespace', '--', member, 'wide', '1'],
      {
        env: scenario.env,
      },
    );
    const said = await ready(child);
    const seen = scenario.alive().map(({ pid }) => pid);
    const [held = 0] = outside('namespace', seen, said.members);
    await holdByTracer(scenario, held);
    child.kill('SIGTERM');
    const { code, stderr } = await finish(child);
    expect(code).toBe(143);
    expect(stderr).toContain(`${held} (member) survived, state t`);
    scenario.leaves();
  });

  it('leaves the terminal alone in the background: the command that reads it waits for fg', async () => {
    const env = subjectEnv({ ...scenario.env, P: `${bin} run --containment namespace` });
    const bash = await Shell.start({ env });
    scenario.defer(() => bash.close());
    await bash.line(`$P sh -c 'read -r line; echo "got:$line"' &`);
    await waitUntil(async () => (await bash.line('jobs')).includes('Stopped') || null, { what: 'the job stopped' });
    expect(await bash.foreground()).toBe(await bash.pid);
    bash.type('fg\n');
    bash.type('hello\n');
    await bash.expect('got:hello');
    await bash.expect(Shell.PROMPT);
    expect(await bash.foreground()).toBe(await bash.pid);
  });
});
