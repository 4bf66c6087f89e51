// Containments that the kernel keeps: whoever leaves the group, the session, the parent, the environment or the uid is gone
// with the rest. The controls are those of tree-escape and tree-disguise: the same actors under containment `group`.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { type ProcessGroup, spawn, sweep, type TeardownReport } from '../dist/index.js';
import { type Box, boxed, boxes, evidenceOf, outside, usableBoxes, usePlace } from './support/boxes.js';
import { childrenOf, isDead, stat, waitUntil } from './support/oracle.js';
import { dist, root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { quiet } from './support/start.js';
import { type Actor, Pinned, startTree, stepSignals, treeactor } from './support/trees.js';
import { UID, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const scenario = useScenario();
const place = usePlace();
const usable = usableBoxes('contained-escape');
const graceMs = 150;
const teardown = [{ signal: 'SIGTERM', graceMs }] as const;
const gone = (box: Box) => ({
  empty: true,
  cause: 'stop',
  evidence: evidenceOf[box],
  covers: box,
  survivors: [],
  notes: [],
});
const numbers = (found: readonly { pid: number }[]) => found.map(({ pid }) => pid).sort();

const escapes: [name: string, actor: Actor, args: string[]][] = [
  ['setsid', 'member', ['setsid']],
  ['a double fork', 'member', ['double-fork']],
  ['daemon()', 'treeactor', ['daemon']],
  ['setpgid inside', 'member', ['setpgid']],
  ['a subreaper inside', 'treeactor', ['subreaper']],
  ['all of them, ignoring SIGTERM', 'treeactor', ['mixed']],
];

describe.each(boxes.filter((box) => usable.includes(box)))('under %s', (box) => {
  const start = (actor: Actor, args: readonly string[], options = {}) =>
    startTree(scenario, actor, args, { ...boxed(box, place), teardown, ...options });

  describe.each(escapes)('E1: %s', (_name, actor, args) => {
    it('E1: is gone with stop()', async () => {
      const { group, pids } = await start(actor, args);
      const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
      const seen = numbers(scenario.alive());
      const members = outside(box, seen, pids).sort();
      expect(seen).toEqual([guardian, ...members].sort());
      expect(numbers(await group.members())).toEqual(members);
      expect(stat(group.pid)?.ppid).toBe(guardian);
      expect(await group.stop()).toMatchObject(gone(box));
      expect(scenario.alive()).toEqual([]);
      expect(stat(guardian), 'the guardian is reaped').toBeNull();
    });

    it('E1: is gone with stop() after the leader was killed', async () => {
      const { group, ready } = await start(actor, args);
      const members = outside(box, numbers(scenario.alive()), ready.members);
      process.kill(group.pid, 'SIGKILL');
      expect(await group.exited).toMatchObject({ code: null, signal: 'SIGKILL', status: 'exact' });
      expect(group.state).toBe('leader-exited');
      expect(numbers(await group.members())).toEqual(members.sort());
      expect(await group.stop()).toMatchObject(gone(box));
      expect(scenario.alive()).toEqual([]);
    });
  });

  it('E1: a nohup setsid shell is gone', async () => {
    const script = `nohup setsid sh -c 'echo "ready {\\"pid\\":$$,\\"members\\":[]}" >&3; exec sleep 300 3>&-' >/dev/null 2>&1 & wait`;
    const group = (await spawn('/bin/sh', ['-c', script], {
      env: scenario.env,
      stdio: quiet,
      teardown,
      ...boxed(box, place),
    })) as ProcessGroup;
    const { pid } = await readReady(group.stdio[3] as never);
    const [sleeper = 0] = outside(box, numbers(scenario.alive()), [pid]);
    expect(stat(sleeper)?.sid).toBe(sleeper);
    expect(await group.stop()).toMatchObject(gone(box));
    expect(scenario.alive()).toEqual([]);
  });

  it.for(['tree', 'cgroup', 'namespace'] as const)('E1: nested supervisors: %s inside', async (inner, context) => {
    if (inner !== 'tree' && !usable.includes(inner)) return context.skip(`no ${inner} here`);
    const source = `
      import { spawn } from ${JSON.stringify(`${dist}index.js`)};
      const group = await spawn(${JSON.stringify(treeactor)}, ['mixed'], {
        ...${JSON.stringify(inner === 'tree' ? { containment: 'tree' } : boxed(inner, place))}, stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 60_000 }],
      });
      await new Promise((resolve) => group.stdout.once('data', resolve));
      console.log('ready ' + JSON.stringify({ pid: process.pid, members: [group.pid, group.mechanism.guardianPid] }));
      setInterval(() => {}, 1e6);`;
    const group = await spawn(process.execPath, ['--input-type=module', '-e', source], {
      env: scenario.env,
      cwd: root,
      teardown,
      ...boxed(box, place),
    });
    await readReady(group.stdout as Readable);
    // Two Node-side processes, two guardians, the leader inside and its four members.
    expect(scenario.alive()).toHaveLength(8);
    expect(await group.stop()).toMatchObject(gone(box));
    expect(scenario.alive()).toEqual([]);
    // Supervisor and guardian of the inner one were killed together: its leaf is empty, and left for a sweep.
    const left = await sweep({ parent: place.path });
    expect(left.filter(({ processes, state }) => processes > 0 || state !== 'reaped')).toEqual([]);
    if (inner !== 'cgroup') expect(left).toEqual([]);
  });

  it('E1: what is orphaned inside is adopted and reaped, and the group goes on', async () => {
    const { group, ready } = await start('member', ['double-fork']);
    const [orphan = 0] = outside(box, numbers(scenario.alive()), ready.members);
    expect(stat(orphan)?.ppid).toBe(group.mechanism.guardianPid);
    process.kill(orphan, 'SIGKILL');
    await waitUntil(() => stat(orphan) === null, { what: 'the orphan is reaped' });
    expect(group.state).toBe('running');
    expect(await group.stop()).toMatchObject(gone(box));
  });

  it('E1: a group whose leader ended goes on, and is gone when its last member ends', async () => {
    const { group, ready } = await start('member', ['leader-exits-first']);
    expect(await group.exited).toMatchObject({ code: 0 });
    const [last = 0] = outside(box, numbers(scenario.alive()), ready.members);
    expect(stat(last)?.ppid).toBe(group.mechanism.guardianPid);
    process.kill(last, 'SIGKILL');
    expect(await group.gone).toMatchObject({ ...gone(box), cause: null, steps: [] });
    expect(scenario.alive()).toEqual([]);
  });

  it('E3: a member that forks a detached copy at each SIGTERM is gone after three rounds', async () => {
    const { group } = await start('treeactor', ['fork-on-term'], {
      teardown: Array.from({ length: 3 }, () => ({ signal: 'SIGTERM', graceMs: 100 })),
    });
    const report = await group.stop();
    expect(report).toMatchObject(gone(box));
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGTERM', 'SIGTERM', 'SIGKILL']);
    expect(scenario.alive()).toEqual([]);
  });

  it('G3: a grandchild that ignores SIGTERM is killed when the grace ends, and only then stop() resolves', async () => {
    const { group } = await start('member', ['grandchild-ignores-term']);
    const report = await group.stop();
    expect(scenario.alive()).toEqual([]);
    expect(report).toMatchObject(gone(box));
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(report.steps.find((step) => step.signal === 'SIGKILL')?.atMs).toBeGreaterThanOrEqual(graceMs - 1);
  });

  it('G8: a SIGSTOPped member dies on the first terminating step', async () => {
    const { group } = await start('member', ['stopped-member'], { teardown: [{ signal: 'SIGTERM', graceMs: 20_000 }] });
    const report = await group.stop();
    expect(report).toMatchObject(gone(box));
    expect(stepSignals(report)).toEqual(['SIGTERM']);
    expect(report.durationMs).toBeLessThan(10_000);
  });

  it('signal(), from outside, reaches the leader and its group alone', async () => {
    const { group } = await start('member', ['setsid']);
    const before = scenario.alive().length;
    expect(group.signal('SIGKILL')).toBe('group');
    expect(await group.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(scenario.alive()).toHaveLength(before - 1);
    expect(await group.stop()).toMatchObject(gone(box));
    expect(group.signal('SIGTERM')).toBe('gone');
  });

  it('E5: a member that cleared its environment and renamed itself is gone', async () => {
    const { group, ready } = await start('treeactor', ['masked']);
    const below = numbers(await group.members());
    const [pid = 0] = outside(box, below, ready.members);
    const pinned = new Pinned([pid]);
    scenario.defer(() => pinned.kill());
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).toBe('');
    expect(stat(pid)?.comm).toBe('kworker/0:1');
    expect(await group.stop()).toMatchObject(gone(box));
    expect(pinned.alive()).toEqual([]);
    expect(scenario.alive()).toEqual([]);
  });
});

const folder = mkdtempSync(join(tmpdir(), 'procgroup-setuid-'));
const program = join(folder, 'setuid-member');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function install(): string {
  const why = whyNoMixedUids();
  if (why) return why;
  chmodSync(folder, 0o755);
  copyFileSync(treeactor, program);
  chownSync(program, 0, 0);
  chmodSync(program, 0o4755);
  const [file = '', ...args] = [...unprivileged, program, 'identity'];
  const probe = spawnSync('timeout', ['-s', 'KILL', '0.5', file, ...args], { encoding: 'utf8' });
  return / 0 0 /.test(probe.stdout) ? '' : `setuid programs are inert here: ${probe.stdout}${probe.stderr}`;
}
const reason = install();
if (reason) process.stderr.write(`contained-escape: setuid is skipped, ${reason}\n`);

describe.skipIf(reason !== '').each(boxes.filter((box) => usable.includes(box)))(
  'E5: a setuid program, under %s',
  (box) => {
    it('E5: is gone, where we are root', async () => {
      const { group, ready } = await startTree(scenario, 'treeactor', ['setuid', program], {
        ...boxed(box, place),
        teardown,
        uid: UID,
        gid: UID,
        groups: [],
      });
      const [pid = 0] = outside(box, numbers(await group.members()), ready.members);
      const pinned = new Pinned([pid]);
      scenario.defer(() => pinned.kill());
      expect(readFileSync(`/proc/${group.pid}/status`, 'latin1')).toContain(`Uid:\t${UID}\t${UID}\t${UID}`);
      expect(readFileSync(`/proc/${pid}/status`, 'latin1')).toContain('Uid:\t0\t0\t0');
      expect(await group.stop()).toMatchObject(gone(box));
      expect(pinned.alive()).toEqual([]);
    });

    it('E5: is gone, where we are nobody', async () => {
      place.delegate();
      const { report, uids, alive } = await runNodeJson<{ report: TeardownReport; uids: string[]; alive: boolean[] }>(
        {
          source: `
          const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', ${box === 'namespace' ? "'mixed'" : `'setuid', ${JSON.stringify(program)}`}], {
            ...${JSON.stringify(boxed(box, place))}, stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
            teardown: [{ signal: 'SIGTERM', graceMs: 100 }], killWaitMs: 1_000,
          });
          await readReady(group.stdio[3]);
          const members = (await group.members()).map(({ pid }) => pid);
          const uids = members.map((pid) => /Uid:\\t(\\d+)/.exec(nodeFs.readFileSync('/proc/' + pid + '/status', 'latin1'))[1]);
          const report = await group.stop();
          console.log(JSON.stringify({ report, uids, alive: members.map((pid) => !oracle.isDead(pid)) }));
          process.exit(0);`,
        },
        { env: scenario.env, via: [...(box === 'cgroup' ? place.inside() : []), ...unprivileged], timeoutMs: 20_000 },
      );
      expect(report).toMatchObject(gone(box));
      expect(alive).toEqual(uids.map(() => false));
      // In a user namespace a setuid program keeps the caller's uid; in a cgroup the kernel kills whom we may not.
      expect(uids.sort()).toEqual(box === 'cgroup' ? ['0', String(UID)] : Array.from({ length: 5 }, () => String(UID)));
      expect(scenario.alive()).toEqual([]);
      expect(childrenOf().filter((pid) => !isDead(pid))).toEqual([]);
    });
  },
);
