import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { output, spawn } from '../dist/index.js';
import { supervise } from '../dist/supervise.js';
import { stat } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { type Self, self } from './support/self.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const privileged = process.getuid?.() === 0;

describe('placement', () => {
  it('isolation group: a new group in our session', async () => {
    const { group } = await startMember(scenario, ['sleep'], { isolation: 'group', containment: 'group' });
    const own = stat(process.pid);
    expect(stat(group.pid)).toMatchObject({ pgid: group.pid, sid: own?.sid, ppid: process.pid });
    expect(group).toMatchObject({ pgid: group.pid, sid: own?.sid, mechanism: { isolation: 'group' } });
    await group.kill();
  });

  it('isolation session: a new session', async () => {
    const { group } = await startMember(scenario, ['sleep'], { isolation: 'session' });
    expect(stat(group.pid)).toMatchObject({ pgid: group.pid, sid: group.pid });
    expect(group).toMatchObject({ pgid: group.pid, sid: group.pid, mechanism: { isolation: 'session' } });
    await group.kill();
  });

  it('isolation inherit: our own group, and containment leader', async () => {
    const { group } = await startMember(scenario, ['sleep'], { isolation: 'inherit' });
    const own = stat(process.pid);
    expect(stat(group.pid)).toMatchObject({ pgid: own?.pgid, sid: own?.sid });
    expect(group).toMatchObject({ pgid: own?.pgid, mechanism: { containment: 'leader', isolation: 'inherit' } });
    expect(await group.kill()).toMatchObject({ empty: true, covers: 'leader', evidence: 'leader' });
  });

  it('isolation session: members are all of that session, in whichever group', async () => {
    const { group, pids } = await startMember(scenario, ['setpgid'], {
      isolation: 'session',
      teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
    });
    expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([...pids].sort());
    expect(await group.stop()).toMatchObject({ empty: true, survivors: [] });
    expect(scenario.alive()).toEqual([]);
  });

  it.each(['setsid', 'setpgid', 'double-fork'])(
    'control: %s leaves a group, which the report says it does not cover',
    async (verb) => {
      scenario.leaves();
      const { group, ready } = await startMember(scenario, [verb], { containment: 'group' });
      expect(await group.stop()).toMatchObject({ empty: true, covers: 'group' });
      expect(scenario.alive().map(({ pid }) => pid)).toEqual(ready.members);
    },
  );

  it('deep and wide groups are seen empty', async () => {
    for (const args of [
      ['deep', '100'],
      ['wide', '300'],
    ]) {
      const { group, pids } = await startMember(scenario, args);
      expect((await group.members()).length).toBe(pids.length);
      expect(await group.stop()).toMatchObject({ empty: true, survivors: [] });
      expect(scenario.alive()).toEqual([]);
    }
  });
});

describe('what the child is given', () => {
  it('umask, nice, oomScoreAdj', async () => {
    const umask = process.umask();
    const seen = await self({ umask: 0o077, nice: 5, oomScoreAdj: 500 });
    expect(seen).toMatchObject({ umask: 0o077, nice: 5, oom: 500 });
    expect(process.umask()).toBe(umask);
    const own = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
    expect(await self()).toMatchObject({ umask, nice: getPriority(), oom: own });
  });

  it.skipIf(!privileged)('nice below 0, where privileged', async () => {
    expect(await self({ nice: -3 })).toMatchObject({ nice: -3 });
  });

  it('rlimits: one number is both; soft and hard apart; unlimited', async () => {
    const seen = await self({
      rlimits: { nofile: { soft: 64, hard: 128 }, core: 0, cpu: 77, stack: { soft: 1 << 20, hard: 'unlimited' } },
    });
    expect(seen.rlimits).toMatchObject({
      nofile: [64, 128],
      core: [0, 0],
      cpu: [77, 77],
      stack: [1 << 20, 'unlimited'],
    });
  });

  it('RLIMIT_NOFILE is what Node was started with, though Node raises its own', async () => {
    const source = `
      const seen = JSON.parse((await output(member, ['self'])).stdout);
      const own = /Max open files +(\\d+) +(\\d+)/.exec(nodeFs.readFileSync('/proc/self/limits', 'utf8'));
      console.log(JSON.stringify({ seen, own: own.slice(1).map(Number) }));`;
    const { seen, own } = await runNodeJson<{ seen: Self; own: number[] }>(
      { source },
      { env: scenario.env, via: ['/bin/sh', '-c', 'ulimit -Sn 512; ulimit -Hn 4096; "$@"; exit $?', 'sh'] },
    );
    expect(own).toEqual([4096, 4096]);
    expect(seen.rlimits.nofile).toEqual([512, 4096]);
  });

  it('argv0, arguments untouched', async () => {
    expect(await self({ argv0: 'another name' })).toMatchObject({ argv0: 'another name' });
    expect(await self()).toMatchObject({ argv0: member });
    const args = ['', ' ', '$HOME', '"', "'", '\\', 'ü', '-', '--', '*', '\n'];
    const said = await output(process.execPath, [
      '-e',
      'console.log(JSON.stringify(process.argv.slice(1)))',
      '--',
      ...args,
    ]);
    expect(JSON.parse(said.stdout)).toEqual(args);
  });

  it('cwd as a string, a URL, relative', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'procgroup-cwd-'));
    scenario.defer(() => rmSync(cwd, { recursive: true }));
    expect(await self({ cwd })).toMatchObject({ cwd });
    expect(await self({ cwd: pathToFileURL(cwd) })).toMatchObject({ cwd });
    expect(await self({ cwd: 'test' })).toMatchObject({ cwd: join(process.cwd(), 'test') });
  });

  it('env replaces; undefined leaves a name out', async () => {
    const env = { ONE: '1', TWO: undefined, THREE: '', ODD: 'a=b' };
    const said = await output('/usr/bin/env', [], { env, containment: 'group' });
    expect(said.stdout.trim().split('\n').sort()).toEqual(['ODD=a=b', 'ONE=1', 'THREE=']);
  });

  it('env: what it inherits counts, as in Node', async () => {
    const env = Object.create({ BASE: 'b', GONE: 'x', KEPT: 'k' });
    Object.assign(env, { OWN: '1', GONE: undefined });
    const options = { env, containment: 'group' } as const;
    const said = (await output('/usr/bin/env', [], options)).stdout.trim().split('\n').sort();
    expect(said).toEqual(['BASE=b', 'KEPT=k', 'OWN=1']);
    expect(said).toEqual(execFileSync('/usr/bin/env', { env, encoding: 'utf8' }).trim().split('\n').sort());
    const { outcome } = supervise('/usr/bin/env', [], options);
    expect((await outcome).output?.stdout.trim().split('\n').sort()).toEqual(said);
  });

  it('shell: true is /bin/sh; a string is that shell', async () => {
    const said = await output('echo "$0" $((1 + 1)); exit 4', [], { shell: true });
    expect(said).toMatchObject({ code: 4, stdout: expect.stringMatching(/^\/bin\/sh 2\n$/) });
    const other = await output('echo $((2 + 3))', [], { shell: '/bin/bash' });
    expect(other).toMatchObject({ code: 0, stdout: '5\n' });
  });

  it.each([
    [{}, 'SIGKILL'],
    [{ parentDeathSignal: 'SIGTERM' }, 'SIGTERM'],
    [{ parentDeathSignal: 'none' }, 'none'],
    [{ containment: 'leader' }, 'none'],
    [{ isolation: 'inherit' }, 'none'],
    [{ containment: 'leader', parentDeathSignal: 'SIGHUP' }, 'SIGHUP'],
    [{ lifetime: 'releasable' }, 'none'],
  ] as const)('parent-death signal with %o is %s', async (options, expected) => {
    const number = expected === 'none' ? 0 : constants.signals[expected];
    expect(await self(options)).toMatchObject({ pdeathsig: number });
    const group = await spawn(member, ['exit', '0'], { ...options, stdio: 'ignore' });
    expect(group.mechanism.parentDeathSignal).toBe(expected);
    await group.gone;
  });
});

describe('time', () => {
  it('timeoutMs enters the teardown', async () => {
    const { group } = await startMember(scenario, ['ignore-term'], {
      timeoutMs: 150,
      teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
    });
    const report = await group.gone;
    expect(report).toMatchObject({ empty: true, cause: 'timeout' });
    expect(report.durationMs).toBeGreaterThanOrEqual(99);
    expect(scenario.alive()).toEqual([]);
  });

  it('timeoutMs longer than the run changes nothing', async () => {
    const group = await spawn(member, ['exit', '0'], { timeoutMs: 60_000, stdio: 'ignore' });
    expect(await group.gone).toMatchObject({ empty: true, cause: null });
  });

  it('teardown []: straight to SIGKILL', async () => {
    const { group } = await startMember(scenario, ['ignore-term'], { teardown: [] });
    const report = await group.stop();
    expect(report.steps.map(({ signal }) => signal)).toEqual(['SIGKILL']);
    expect(report).toMatchObject({ empty: true });
  });

  it('a ladder of several rungs, each with its grace', async () => {
    const { group } = await startMember(scenario, ['ignore-term'], {
      teardown: [
        { signal: 'SIGTERM', graceMs: 100 },
        { signal: 'SIGCONT', graceMs: 100 },
        { signal: 'SIGINT', graceMs: 30_000 },
      ],
    });
    const report = await group.stop();
    expect(report.steps.map(({ signal }) => signal)).toContain('SIGINT');
    expect(report.steps.map(({ signal }) => signal)).not.toContain('SIGKILL');
    expect(await group.exited).toMatchObject({ signal: 'SIGINT' });
    expect(report.durationMs).toBeGreaterThanOrEqual(199);
  });
});
