// G7 with the guardian: members that answer EPERM to an unprivileged tree are named; with a privileged killer they are gone;
// a killer that fails, hangs or comes too late does not hold the ladder up.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { TeardownReport } from '../lib/types.js';
import { isDead, waitUntil } from './support/oracle.js';
import { build } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { treeactor } from './support/trees.js';
import { unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const folder = mkdtempSync(join(tmpdir(), 'procgroup-tree-killer-'));
const killer = join(folder, 'killer');
const rooted = join(folder, 'rooted');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function install(): string {
  const why = whyNoMixedUids();
  if (why) return why;
  chmodSync(folder, 0o777);
  for (const [from, to] of [
    [`${build}mixeduid-kill`, killer],
    [treeactor, rooted],
  ] as const) {
    copyFileSync(from, to);
    chownSync(to, 0, 0);
    chmodSync(to, 0o4755);
  }
  const probe = [killer, 'work', join(folder, 'probe'), '-s', '0', '--', String(process.pid)];
  const [file = '', ...args] = [...unprivileged, ...probe];
  return spawnSync(file, args).status === 0 ? '' : 'setuid programs are inert here (nosuid or no_new_privs)';
}
const reason = install();
if (reason) process.stderr.write(`tree-mixed-uids: skipped, ${reason}\n`);

describe.skipIf(reason !== '')('G7 under a tree', () => {
  const scenario = useScenario();
  let log = '';
  let runs = 0;
  beforeEach(() => {
    log = join(folder, `log-${runs++}`);
  });

  interface Answer {
    report: TeardownReport;
    ms: number;
    leader: number;
    root: number;
    guardian: number;
  }

  /** A tree without privilege, of which one member has become root; then stop(). */
  function stopWith(command: readonly string[] | null, timeoutMs = 400): Promise<Answer> {
    const killerOption = command
      ? `privilegedKiller: { command: ${JSON.stringify(command)}, timeoutMs: ${timeoutMs} },`
      : '';
    const source = `
      const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'setuid', ${JSON.stringify(rooted)}], {
        containment: 'tree', stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
        teardown: [{ signal: 'SIGTERM', graceMs: 300 }], killWaitMs: 400, ${killerOption}
      });
      const { members } = await readReady(group.stdio[3]);
      const begin = performance.now();
      const report = await group.stop();
      console.log(JSON.stringify({ report, ms: performance.now() - begin, leader: group.pid, root: members[0],
        guardian: group.mechanism.guardianPid }));
      process.exit(0);`;
    return runNodeJson<Answer>({ source }, { env: scenario.env, via: unprivileged, timeoutMs: 30_000 });
  }

  function asked() {
    return readFileSync(log, 'latin1')
      .trim()
      .split('\n')
      .map((line) => {
        const [self, , signal, , ...pids] = line.split(' ');
        return { self: Number(self), signal, pids: pids.map(Number) };
      });
  }

  async function survives({ report, root, leader, guardian, ms }: Answer, bound: number) {
    scenario.leaves();
    expect(report).toMatchObject({ empty: false, covers: 'tree', cause: 'stop' });
    expect(report.survivors).toMatchObject([{ pid: root, error: 'EPERM' }]);
    expect(isDead(root)).toBe(false);
    expect([isDead(leader), isDead(guardian)]).toEqual([true, true]);
    expect(ms).toBeLessThan(bound);
  }

  it('G7: the survivor is named with EPERM', async () => {
    await survives(await stopWith(null), 5_000);
  });

  it('G7: with a killer the tree is empty', async () => {
    const { report, root, leader } = await stopWith([killer, 'work', log]);
    expect(report).toMatchObject({ empty: true, evidence: 'echild', survivors: [] });
    expect([isDead(root), isDead(leader)]).toEqual([true, true]);
    expect(asked().at(-1)).toMatchObject({ pids: [root] });
    expect(report.notes).toContain('numeric-pids');
    expect(report.steps.some(({ target }) => target === 'killer')).toBe(true);
    const times = report.steps.map(({ atMs }) => atMs);
    expect(times, 'the steps are in the order of time').toEqual([...times].sort((a, b) => a - b));
  });

  it('G7: it fails: the ladder goes on, the notes say so', async () => {
    const answer = await stopWith([killer, 'fail', log], 5_000); // no matter how slow it starts
    await survives(answer, 5_000);
    expect(answer.report.notes.join('\n')).toContain('killer-failed');
    expect(
      asked().map(({ signal }) => signal),
      JSON.stringify(answer.report),
    ).toEqual(expect.arrayContaining(['TERM', 'KILL']));
  });

  it('G7: it is not there: the ladder goes on, the notes say so', async () => {
    const answer = await stopWith([join(folder, 'no-such-killer')]);
    await survives(answer, 5_000);
    expect(answer.report.notes.join('\n')).toContain('killer-failed');
  });

  it('G7: it hangs: it is killed at its timeout, the ladder goes on', async () => {
    const answer = await stopWith([killer, 'hang', log], 150);
    await survives(answer, 8_000);
    expect(answer.report.notes.join('\n')).toContain('killer-timeout');
    for (const { self } of asked()) await waitUntil(() => isDead(self), { what: `the killer ${self} is dead` });
  });

  it('G7: it hangs and cannot be killed: bounded all the same', async () => {
    const answer = await stopWith([killer, 'stuck', log], 150);
    const left = asked().map(({ self }) => self);
    scenario.defer(() => {
      for (const pid of left) {
        if (!isDead(pid) && readlinkSync(`/proc/${pid}/exe`) === killer) process.kill(pid, 'SIGKILL');
      }
      return waitUntil(() => left.every(isDead));
    });
    await survives(answer, 8_000);
  });

  it('G7: a pid vanished meanwhile: the tree is empty all the same', async () => {
    const { report, root } = await stopWith([killer, 'vanish', log]);
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(isDead(root)).toBe(true);
  });
});
