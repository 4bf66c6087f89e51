// attach(pgid): the verified teardown of a group that somebody else started, whoever of it still lives.
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExitResult, Mechanism, Member, TeardownReport } from '../lib/types.js';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import type { Ready } from './support/ready.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

interface Answer {
  pgid: number;
  mechanism: Mechanism;
  members: Member[];
  report: TeardownReport;
  exited: ExitResult;
  state: string;
}

describe('attach(): a group that somebody else started', () => {
  const scenario = useScenario();

  /** Started by a shell that becomes `sleep`: a parent that never reaps. With `orphan` init is the parent, and reaps. */
  async function foreign(args: readonly string[], parent: 'never reaps' | 'init' = 'init'): Promise<Ready> {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-attach-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'ready');
    const fd = openSync(path, 'w');
    const script = parent === 'init' ? 'exec setsid --fork "$@"' : 'setsid "$@" & exec sleep 300';
    const shell = spawn('sh', ['-c', script, 'sh', member, ...args], {
      stdio: ['ignore', fd, 'inherit'],
      env: scenario.env,
      detached: true,
    });
    closeSync(fd);
    scenario.defer(async () => {
      shell.kill('SIGKILL');
      await waitUntil(() => isDead(shell.pid ?? 0), { what: 'the parent that never reaps is gone' });
    });
    const line = await waitUntil(() => {
      const text = readFileSync(path, 'latin1');
      return text.endsWith('\n') ? text : null;
    });
    return JSON.parse(line.slice('ready '.length)) as Ready;
  }

  const teardown = (ladder = "[{ signal: 'SIGTERM', graceMs: 300 }]") => `
    const group = await attach(Number(process.argv.at(-1)), { teardown: ${ladder}, killWaitMs: 3000 });
    const { mechanism, pgid } = group;
    const members = await group.members();
  `;
  const finish = `
    const report = await group.stop();
    console.log(JSON.stringify({ pgid, mechanism, members, report, exited: await group.exited, state: group.state }));
  `;
  const run = (pgid: number, source: string) =>
    runNodeJson<Answer>({ source }, { args: [String(pgid)], env: scenario.env });

  it('attach: the leader alive, a member ignores SIGTERM', async () => {
    const { pid, members } = await foreign(['grandchild-ignores-term']);
    const answer = await run(pid, teardown() + finish);
    expect(answer.pgid).toBe(pid);
    expect(answer.mechanism).toMatchObject({ spawn: 'attach', containment: 'group' });
    expect(answer.members.map((one) => one.pid).sort()).toEqual([pid, ...members].sort());
    expect(answer.report).toMatchObject({ empty: true, cause: 'stop', survivors: [] });
    expect(answer.report.steps.map(({ signal }) => signal)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(answer.exited).toMatchObject({ status: 'unknown', resourceUsage: null });
    expect(answer.state).toBe('empty');
    expect(scenario.alive()).toEqual([]);
  });

  it('attach: control: a signal to the leader alone leaves the member', async () => {
    const { pid, members } = await foreign(['grandchild-ignores-term']);
    scenario.leaves();
    process.kill(pid, 'SIGTERM');
    await waitUntil(() => isDead(pid));
    expect(scenario.alive().map((one) => one.pid)).toEqual(members);
  });

  it('attach: the leader is dead and reaped', async () => {
    const { pid, members } = await foreign(['leader-exits-first']);
    await waitUntil(() => stat(pid) === null);
    const answer = await run(pid, teardown() + finish);
    expect(answer.members.map((one) => one.pid)).toEqual(members);
    expect(answer.report).toMatchObject({ empty: true, survivors: [] });
    expect(scenario.alive()).toEqual([]);
  });

  it('attach: the leader is a zombie that its parent never reaps', async () => {
    const { pid, members } = await foreign(['leader-exits-first'], 'never reaps');
    await waitUntil(() => stat(pid)?.state === 'Z');
    const answer = await run(pid, teardown() + finish);
    expect(answer.report).toMatchObject({ empty: true, survivors: [] });
    expect(stat(pid)?.state, 'control: the zombie is still there').toBe('Z');
    for (const one of members) expect(isDead(one)).toBe(true);
  });

  it('attach: only a zombie is left of it', async () => {
    const { pid } = await foreign(['sleep'], 'never reaps');
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => stat(pid)?.state === 'Z');
    const answer = await runNodeJson<{ empty: boolean } | { code: string }>(
      {
        source: `
          const told = await attach(Number(process.argv.at(-1))).then(
            async (group) => ({ empty: (await group.stop()).empty }), (error) => ({ code: error.code }));
          console.log(JSON.stringify(told));`,
      },
      { args: [String(pid)], env: scenario.env },
    );
    expect([{ empty: true }, { code: 'ESRCH' }]).toContainEqual(answer);
  });

  it('attach: a stopped member dies on the first step', async () => {
    const { pid } = await foreign(['stopped-member']);
    const answer = await run(pid, teardown("[{ signal: 'SIGTERM', graceMs: 20_000 }]") + finish);
    expect(answer.report).toMatchObject({ empty: true });
    expect(answer.report.steps.map(({ signal }) => signal)).toEqual(['SIGTERM']);
    expect(answer.report.durationMs).toBeLessThan(10_000);
    expect(scenario.alive()).toEqual([]);
  });

  it('attach: wide groups', async () => {
    const { pid } = await foreign(['wide', '300']);
    const answer = await run(pid, teardown() + finish);
    expect(answer.members).toHaveLength(301);
    expect(answer.report).toMatchObject({ empty: true, survivors: [] });
    expect(scenario.alive()).toEqual([]);
  });

  it('attach: a group that ends by itself is gone without a teardown', async () => {
    const { pid } = await foreign(['sleep']);
    const answer = await run(
      pid,
      `${teardown()}
      process.kill(pgid, 'SIGKILL');
      const report = await group.gone;
      console.log(JSON.stringify({ pgid, mechanism, members, report, exited: await group.exited, state: group.state }));`,
    );
    expect(answer.report).toMatchObject({ empty: true, cause: null, survivors: [], steps: [] });
    expect(answer.state).toBe('empty');
  });

  it('attach: signal() reaches the members, kill() empties, two handles agree', async () => {
    const { pid } = await foreign(['grandchild-ignores-term']);
    const answer = await runNodeJson<{ target: string; empty: boolean[]; gone: string[] }>(
      {
        source: `
          const pgid = Number(process.argv.at(-1));
          const [one, two] = await Promise.all([attach(pgid), attach(pgid)]);
          const target = one.signal('SIGCONT');
          const reports = await Promise.all([one.kill(), two.kill(), one.stop(), two.gone]);
          console.log(JSON.stringify({ target, empty: reports.map((report) => report.empty),
            gone: [one.signal('SIGTERM'), two.signal('SIGTERM')] }));`,
      },
      { args: [String(pid)], env: scenario.env },
    );
    expect(['group', 'members']).toContain(answer.target);
    expect(answer.empty).toEqual([true, true, true, true]);
    expect(answer.gone).toEqual(['gone', 'gone']);
    expect(scenario.alive()).toEqual([]);
  });

  it('attach: nothing is left open or unreaped in the supervisor', async () => {
    const groups: Ready[] = [];
    for (let i = 0; i < 4; i++) groups.push(await foreign(['grandchild-ignores-term']));
    const answer = await runNodeJson<{ fds: number; zombies: number }>(
      {
        source: `
          const [first, ...rest] = JSON.parse(process.argv.at(-1));
          await (await attach(first)).kill();
          const before = oracle.openFds().length;
          for (const pgid of rest) await (await attach(pgid)).kill();
          console.log(JSON.stringify({ fds: oracle.openFds().length - before, zombies: oracle.zombieChildrenOf().length }));`,
      },
      { args: [JSON.stringify(groups.map(({ pid }) => pid))], env: scenario.env },
    );
    expect(answer).toEqual({ fds: 0, zombies: 0 });
  });
});
