// Members that do not look like ours any more: found by ancestry, not by name, environment or uid.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { TeardownReport } from '../lib/types.js';
import { isDead, stat } from './support/oracle.js';
import { runNodeJson } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { Pinned, startTree, treeactor } from './support/trees.js';
import { UID, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 100 }] as const;
const gone = { empty: true, cause: 'stop', evidence: 'echild', covers: 'tree', survivors: [] };

describe('E5: a member that cleared its environment and renamed itself', () => {
  async function masked(containment: 'tree' | 'group') {
    const { group, ready } = await startTree(scenario, 'treeactor', ['masked'], { teardown, containment });
    const [pid = 0] = ready.members;
    const pinned = new Pinned([pid]);
    scenario.defer(() => pinned.kill());
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).toBe('');
    expect(stat(pid)?.comm).toBe('kworker/0:1');
    expect(stat(pid)?.sid).toBe(pid);
    return { group, pinned };
  }

  it('E5: is gone', async () => {
    const { group, pinned } = await masked('tree');
    expect(await group.stop()).toMatchObject(gone);
    expect(pinned.alive()).toEqual([]);
    expect(scenario.alive()).toEqual([]);
  });

  it('E5: control: containment group leaves it', async () => {
    const { group, pinned } = await masked('group');
    expect(await group.stop()).toMatchObject({ empty: true });
    expect(pinned.alive()).toHaveLength(1);
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
  // It sleeps after its first line; the real uid is the caller's, so timeout(1) may end it.
  const probe = spawnSync('timeout', ['-s', 'KILL', '0.5', file, ...args], { encoding: 'utf8' });
  return / 0 0 /.test(probe.stdout) ? '' : `setuid programs are inert here: ${probe.stdout}${probe.stderr}`;
}
const reason = install();
if (reason) process.stderr.write(`tree-disguise: setuid is skipped, ${reason}\n`);

describe.skipIf(reason !== '')('E5: a member that changed its uid by a setuid program', () => {
  it('E5: is gone under a privileged tree', async () => {
    const { group, ready } = await startTree(scenario, 'treeactor', ['setuid', program], {
      teardown,
      uid: UID,
      gid: UID,
      groups: [],
    });
    const [pid = 0] = ready.members;
    const pinned = new Pinned([pid]);
    scenario.defer(() => pinned.kill());
    expect(readFileSync(`/proc/${group.pid}/status`, 'latin1')).toContain(`Uid:\t${UID}\t${UID}\t${UID}`);
    expect(readFileSync(`/proc/${pid}/status`, 'latin1')).toContain('Uid:\t0\t0\t0');
    expect(await group.stop()).toMatchObject(gone);
    expect(pinned.alive()).toEqual([]);
    expect(scenario.alive()).toEqual([]);
  });

  const unprivilegedStop = (containment: 'tree' | 'group') =>
    runNodeJson<{ report: TeardownReport; pid: number; leader: number; guardian: number | null }>(
      {
        source: `
          const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'setuid', ${JSON.stringify(program)}], {
            containment: '${containment}', stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
            teardown: [{ signal: 'SIGTERM', graceMs: 100 }], killWaitMs: 300,
          });
          const { members } = await readReady(group.stdio[3]);
          const report = await group.stop();
          console.log(JSON.stringify({ report, pid: members[0], leader: group.pid, guardian: group.mechanism.guardianPid }));
          process.exit(0);`,
      },
      { env: scenario.env, via: unprivileged, timeoutMs: 20_000 },
    );

  it('E5: is named with EPERM under an unprivileged tree', async () => {
    scenario.leaves();
    const { report, pid, leader, guardian } = await unprivilegedStop('tree');
    expect(report).toMatchObject({ empty: false, cause: 'stop', covers: 'tree', evidence: 'census' });
    expect(report.survivors).toMatchObject([{ pid, error: 'EPERM', heldByTracer: false }]);
    expect(report.survivors[0]?.state).toMatch(/^[SRD]$/);
    expect(report.durationMs).toBeLessThan(5_000);
    expect(isDead(pid)).toBe(false);
    expect([isDead(leader), isDead(guardian ?? 0)], 'the others are gone').toEqual([true, true]);
    expect(scenario.alive().map((one) => one.pid)).toEqual([pid]);
  });

  it('E5: output() of a leader that cannot be ended settles, with its report', async () => {
    scenario.leaves();
    const source = `
      const { code, signal, truncated, exit, report } = await procgroup.output(${JSON.stringify(program)}, ['setuid-member', '1'], {
        containment: 'group', timeoutMs: 300, teardown: [], killWaitMs: 300 });
      console.log(JSON.stringify({ code, signal, truncated, status: exit.status, empty: report.empty, cause: report.cause }));
      process.exit(0);`;
    const answer = await runNodeJson({ source }, { env: scenario.env, via: unprivileged, timeoutMs: 20_000 });
    const nobodyKnows = { code: null, signal: null, truncated: true, status: 'unknown' };
    expect(answer).toEqual({ ...nobodyKnows, empty: false, cause: 'timeout' });
  });

  it('E5: a survivor is waited for without a busy loop', async () => {
    scenario.leaves();
    const { ms, cpuMs } = await runNodeJson<{ ms: number; cpuMs: number }>(
      {
        source: `
          const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'setuid', ${JSON.stringify(program)}], {
            containment: 'tree', stdio: ['ignore', 'ignore', 'inherit', 'pipe'], teardown: [], killWaitMs: 2_000,
          });
          await readReady(group.stdio[3]);
          let ticks = 0;
          const look = () => {
            const fields = nodeFs.readFileSync('/proc/' + group.mechanism.guardianPid + '/stat', 'latin1').split(') ')[1].split(' ');
            ticks = Number(fields[11]) + Number(fields[12]);
          };
          const timer = setInterval(() => { try { look(); } catch {} }, 20);
          const begin = performance.now();
          await group.stop();
          clearInterval(timer);
          // Clock ticks are hundredths of a second on every Linux.
          console.log(JSON.stringify({ ms: performance.now() - begin, cpuMs: ticks * 10 }));
          process.exit(0);`,
      },
      { env: scenario.env, via: unprivileged, timeoutMs: 20_000 },
    );
    expect(ms).toBeGreaterThan(1_900);
    expect(cpuMs).toBeLessThan(allowance(400));
  });

  it('E5: control: containment group does not even see it', async () => {
    scenario.leaves();
    const { report, pid } = await unprivilegedStop('group');
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(isDead(pid)).toBe(false);
  });
});
