// /proc mounted with hidepid: processes of other users are there and cannot be seen. What a scan does not show may live.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { TeardownReport } from '../lib/types.js';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { startMixed, unprivileged, useSetuid, whyNoMixedUids } from './support/unprivileged.js';

/** Put before a command: a /proc of its own. mount_namespaces(7), proc(5). */
const hidden = (option: string) => [
  ...['unshare', '--mount', 'sh', '-c', `mount -t proc -o ${option} proc /proc && exec "$@"`, 'sh'],
  ...unprivileged,
];

function whyNot(): string {
  const reason = whyNoMixedUids();
  if (reason) return reason;
  const [file = '', ...args] = [...hidden('hidepid=2'), 'test', '!', '-e', '/proc/1'];
  const probe = spawnSync(file, args, { encoding: 'utf8' });
  return probe.status === 0 ? '' : `no /proc with hidepid: ${probe.error?.message ?? probe.stderr.trim()}`;
}

const reason = whyNot();
if (reason) process.stderr.write(`hidepid: skipped, ${reason}\n`);

describe.skipIf(reason !== '')('G7 members that cannot be seen', () => {
  const scenario = useScenario();

  interface Answer {
    report: TeardownReport;
    members: number[];
    root: number;
  }

  /** Spawns or attaches to a group of VERB without privilege, puts a member of root into it, and stops it. */
  async function stopWith(mount: string, verb: string, how: 'spawn' | 'attach', joins = true): Promise<Answer> {
    scenario.leaves();
    const source = `
      const ladder = { teardown: [{ signal: 'SIGTERM', graceMs: 300 }], killWaitMs: 500 };
      const stdio = ['ignore', 'pipe', 'inherit'];
      const [verb, how] = process.argv.slice(-2);
      const options = { containment: how === 'spawn' ? 'group' : 'leader', stdio, ...ladder };
      let group = await spawn(member, [verb], options);
      const ready = await readReady(group.stdout);
      if (how === 'attach') {
        const { pgid } = group;
        await group.release();
        group = await attach(pgid, ladder);
      }
      console.log('ready ' + JSON.stringify({ pgid: group.pgid, members: [ready.pid, ...ready.members] }));
      await new Promise((resolve) => process.stdin.once('data', resolve));
      console.log('ready ' + JSON.stringify(await group.stop()));
      process.exit(0);`;
    const subject = startNode({ source }, { args: [verb, how], env: scenario.env, via: hidden(mount), input: '' });
    subject.stderr?.pipe(process.stderr);
    const stdout = subject.stdout ?? expect.fail('no stdout');
    const { pgid, members } = await readReady<{ pgid: number; members: number[] }>(stdout);
    let root = 0;
    if (joins) {
      const { child: joiner, said } = await startMixed(['join', String(pgid)], scenario.env);
      root = said[0] ?? 0;
      scenario.defer(async () => {
        joiner.stdin?.end();
        if (joiner.exitCode === null && joiner.signalCode === null) await once(joiner, 'close');
      });
    }
    subject.stdin?.write('go\n');
    const report = await readReady<TeardownReport>(stdout);
    if (subject.exitCode === null) await once(subject, 'close');
    return { report, members, root };
  }

  for (const how of ['spawn', 'attach'] as const) {
    for (const verb of ['unreaped-member', 'wide']) {
      it(`G7 ${how}(), ${verb}: a group with one of another uid is not called empty`, async () => {
        const { report, members, root } = await stopWith('hidepid=2', verb, how);
        expect(isDead(root)).toBe(false);
        expect(report, JSON.stringify(report)).toMatchObject({ empty: false, survivors: [], evidence: 'unverified' });
        expect(report.notes).toContain('proc-unreadable');
        expect(report.durationMs).toBeLessThan(5_000);
        if (verb === 'unreaped-member') {
          // A zombie that is seen, and answers for the group.
          expect(stat(members[2] ?? 0)).toMatchObject({ state: 'Z', ppid: members[1] });
        }
      });
    }
  }

  it('G7 without such a member it is: by the answer of the kernel', async () => {
    const { report } = await stopWith('hidepid=2', 'sleep', 'spawn', false);
    expect(report, JSON.stringify(report)).toMatchObject({ empty: true, survivors: [], evidence: 'esrch' });
  });

  // There files of strangers are refused: EPERM, where a full descriptor table is EMFILE.
  it('G7 hidepid=1: signal() reaches members, and calls an ended group gone', async () => {
    const source = `
      const started = await spawn(member, ['-r', '3', 'leader-exits-first'], {
        containment: 'leader', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
      const { members } = await readReady(started.stdio[3]);
      const last = members.at(-1);
      await started.gone;
      const group = await attach(started.pgid);
      const told = [group.signal('SIGCONT')];
      process.kill(last, 'SIGKILL');
      while (oracle.stat(last) !== null); // nothing is told to a loop that does not turn
      told.push(group.signal('SIGCONT'));
      console.log(JSON.stringify(told));`;
    const via = hidden('hidepid=1');
    expect(await runNodeJson({ source }, { env: scenario.env, via })).toEqual(['members', 'gone']);
  });

  it('G7 control: where /proc shows everybody, it is named', async () => {
    const { report, root } = await stopWith('hidepid=0', 'unreaped-member', 'spawn');
    expect(report).toMatchObject({ empty: false, survivors: [{ pid: root, error: 'EPERM' }] });
    expect(report.notes).not.toContain('proc-unreadable');
  });
});

const setuid = useSetuid();
const blindly = process.env.PROCGROUP_TEST_DISABLE?.includes('number_free')
  ? 'the kernel is not asked for numbers'
  : '';
const stranger = reason || setuid.inert || blindly;
if (stranger && !reason) process.stderr.write(`hidepid, a session: skipped, ${stranger}\n`);

describe.skipIf(stranger !== '')('G7 a session with a member that cannot be seen, in a group of its own', () => {
  const scenario = useScenario();

  // A shell gives what it starts in the background /dev/null as stdin, but for what it says itself.
  const start = `
    const group = await spawn('sh', ['-c', 'exec 3<&0; "$0" apart <&3 3<&- & exit 0', process.argv.at(-1)], {
      containment: 'group',
      isolation: 'session',
      stdio: ['pipe', 'pipe', 'inherit'],
      teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
      killWaitMs: 300,
    });
    await readReady(group.stdout);
    await group.exited;`;
  const run = <T>(source: string) =>
    runNodeJson<T>({ source: start + source }, { args: [setuid.file], env: scenario.env, via: hidden('hidepid=2') });

  it('G7 it is not called empty', async () => {
    const report = await run<TeardownReport>(`
      const report = await group.stop();
      group.stdin.end();
      console.log(JSON.stringify(report));`);
    expect(report).toMatchObject({ empty: false, survivors: [], evidence: 'unverified' });
    expect(report.notes).toContain('proc-unreadable');
    await waitUntil(() => scenario.alive().length === 0, { what: 'its end' });
  });

  it('G7 its end is told by the kernel', async () => {
    const report = await run<TeardownReport>(`
      group.stdin.end();
      console.log(JSON.stringify(await group.gone));`);
    expect(report).toMatchObject({ empty: true, evidence: 'esrch' });
  });
});
