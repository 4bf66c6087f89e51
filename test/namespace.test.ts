// Containment `namespace`: what is inside, which numbers it has, and what a machine that refuses it answers.
import { spawn as nodeSpawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, type SpawnOptions, spawn } from '../dist/index.js';
import { announce, outside, whyNoNamespace } from './support/boxes.js';
import { childrenOf, isDead, openFds, stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { deny, member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { self } from './support/self.js';
import { startTree, treeactor } from './support/trees.js';
import { UID, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const reason = announce('namespace', whyNoNamespace());
const mixed = whyNoMixedUids();
const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 150 }] as const;
const gone = { empty: true, evidence: 'namespace', covers: 'namespace', survivors: [], notes: [] };
const inside: SpawnOptions = { containment: 'namespace', teardown };

async function shell(script: string, options: SpawnOptions = {}): Promise<string[]> {
  const group = (await spawn('/bin/sh', ['-c', script], {
    ...inside,
    env: scenario.env,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  })) as ProcessGroup;
  let text = '';
  (group.stdout as Readable).on('data', (chunk) => {
    text += chunk;
  });
  await group.closed;
  expect(await group.gone).toMatchObject(gone);
  return text.trim().split('\n');
}

describe.skipIf(reason !== '')('numbers', () => {
  it('both pids are on the handle: that outside, and that which the leader sees', async () => {
    const { group, ready } = await startTree(scenario, 'member', ['sleep'], inside);
    expect(ready.pid).toBe(group.innerPid);
    expect(group.innerPid).not.toBe(group.pid);
    expect(outside('namespace', [group.pid], [ready.pid])).toEqual([group.pid]);
    expect(stat(group.pid)).toMatchObject({
      comm: 'member',
      ppid: group.mechanism.guardianPid,
      pgid: group.pgid,
      sid: group.sid,
    });
    expect(group.pgid).toBe(group.pid);
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
  });

  it('a session of its own', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], { ...inside, isolation: 'session' });
    expect([group.pgid, group.sid]).toEqual([group.pid, group.pid]);
    expect(stat(group.pid)?.sid).toBe(group.pid);
    await group.stop();
  });

  it('a leader that ends at once still has its number', async () => {
    for (let round = 0; round < 20; round++) {
      const group = await spawn(member, ['exit', '5'], { ...inside, stdio: 'ignore' });
      expect(group.pid).toBeGreaterThan(group.innerPid ?? Number.POSITIVE_INFINITY);
      expect((await group.exited).code).toBe(5);
      expect(await group.gone).toMatchObject({ ...gone, cause: null, steps: [] });
    }
    expect(zombieChildrenOf()).toEqual([]);
  });

  it('elsewhere there is one number', async () => {
    const group = await spawn(member, ['exit', '0'], { stdio: 'ignore' });
    expect(group.innerPid).toBeNull();
    expect(group.mechanism.namespaces).toEqual([]);
    await group.gone;
  });
});

describe.skipIf(reason !== '')('inside', () => {
  it('its own /proc, in which nobody else is; our mounts are not changed', async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8');
    const [own = '', all = ''] = await shell('echo $$ $PPID; cd /proc; echo [0-9]*');
    expect(own).toBe('2 1');
    expect(all).toBe('1 2');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before);
  });

  it('directory, umask, descriptors, limits and signals are as under a tree', async () => {
    const options = {
      cwd: '/usr',
      umask: 0o27,
      nice: 3,
      rlimits: { nofile: 100 },
      env: scenario.env,
      isolation: 'session',
    } as const;
    const [one, two] = await Promise.all([
      self({ ...options, containment: 'tree' }),
      self({ ...options, containment: 'namespace' }),
    ]);
    const plain = ({ pid: _1, ppid: _2, pgid: _3, sid: _4, fds, ...rest }: Awaited<ReturnType<typeof self>>) => ({
      ...rest,
      fds: Object.keys(fds),
    });
    expect(plain(two)).toEqual(plain(one));
  });

  it('the guardian keeps no descriptor but those that it knows of', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], inside);
    const nulls = () =>
      openFds(group.mechanism.guardianPid ?? 0)
        .filter(({ target }) => target === '/dev/null')
        .map(({ fd }) => fd);
    await waitUntil(() => [0, 1, 2].every((fd) => nulls().includes(fd)), { what: 'it has dropped the command’s' });
    expect(nulls()).toEqual([0, 1, 2]);
    await group.kill();
  });

  it('a failure before exec is told as under a tree, and leaves nothing', async () => {
    await (await spawn(member, ['exit', '0'], { ...inside, stdio: 'ignore' })).gone;
    const before = openFds().length;
    for (const [file, more, code, stage] of [
      ['/no/such', {}, 'ENOENT', 'exec'],
      ['no-such', {}, 'ENOENT', 'lookup'],
      [member, { cwd: '/no/such' }, 'ENOENT', 'chdir'],
      ['/etc/passwd', {}, 'EACCES', 'exec'],
    ] as const) {
      await expect(spawn(file, [], { ...inside, stdio: 'ignore', ...more })).rejects.toMatchObject({
        name: 'SpawnError',
        code,
        stage,
      });
    }
    expect(childrenOf()).toEqual([]);
    await waitUntil(() => openFds().length <= before, { what: 'no descriptor is left' });
  });

  it('isolation inherit is refused: our group is not to be seen there', async () => {
    await expect(spawn(member, [], { ...inside, isolation: 'inherit' })).rejects.toMatchObject({
      code: 'ERR_NAMESPACE_INHERIT',
      stage: 'validate',
    });
  });

  it('who came in from outside is a member, and ends with the others', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], inside);
    const stranger = nodeSpawn('nsenter', ['--target', String(group.pid), '--pid', '--mount', member, 'ignore-term'], {
      env: scenario.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await readReady(stranger.stdout);
    const [pid = 0] = childrenOf(stranger.pid);
    expect((await group.members()).map((one) => one.pid).sort()).toEqual([group.pid, pid].sort());
    const ended = once(stranger, 'exit');
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
    expect(isDead(pid)).toBe(true);
    await ended;
  });

  it('a member that a tracer outside holds does not hold the report up', async (context) => {
    if (spawnSync('strace', ['-V']).status !== 0) return context.skip('no strace');
    scenario.leaves();
    const { group } = await startTree(scenario, 'member', ['sleep'], { ...inside, teardown: [], killWaitMs: 300 });
    // A stopped tracer does not wait for its tracee.
    const tracer = nodeSpawn('strace', ['-p', String(group.pid), '-o', '/dev/null'], { stdio: 'ignore' });
    await waitUntil(() => /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${group.pid}/status`, 'latin1')), {
      what: 'it is traced',
    });
    tracer.kill('SIGSTOP');
    const report = await group.stop();
    expect(report).toMatchObject({ empty: false, cause: 'stop', covers: 'namespace' });
    expect(report.survivors.map(({ pid, heldByTracer }) => [pid, heldByTracer])).toEqual([[group.pid, true]]);
    expect(report.durationMs).toBeLessThan(5_000);
    const guardian = group.mechanism.guardianPid ?? 0;
    tracer.kill('SIGKILL');
    await waitUntil(() => stat(guardian) === null, { what: 'it ends once the tracer has' });
  });
});

describe.skipIf(reason !== '' || mixed !== '')('for nobody', () => {
  it('a user namespace is made: the uid inside is the uid outside, setuid programs are inert', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-namespace-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    chmodSync(folder, 0o755);
    const program = join(folder, 'setuid');
    copyFileSync(treeactor, program);
    chownSync(program, 0, 0);
    chmodSync(program, 0o4755);
    const said = await runNodeJson<{ namespaces: string[]; lines: string[]; uid: string; report: unknown }>(
      {
        source: `
          const group = await spawn('/bin/sh', ['-c', 'id -u; id -g; stat -c %u /etc; cat /proc/self/uid_map; (exec ' + ${JSON.stringify(program)} + ' identity) & sleep 0.3; kill $!'], {
            containment: 'namespace', stdio: ['ignore', 'pipe', 'inherit'] });
          let text = '';
          group.stdout.on('data', (chunk) => { text += chunk; });
          const uid = /Uid:\\s+(\\d+)/.exec(nodeFs.readFileSync('/proc/' + group.pid + '/status', 'latin1'))[1];
          const report = await group.gone;
          await group.closed;
          console.log(JSON.stringify({ namespaces: group.mechanism.namespaces, lines: text.split('\\n'), uid, report }));`,
      },
      { env: scenario.env, via: unprivileged },
    );
    expect(said.namespaces).toEqual(['user', 'pid', 'mount']);
    expect(said.uid).toBe(String(UID));
    expect(said.lines.slice(0, 3)).toEqual([String(UID), String(UID), '65534']);
    expect(said.lines[3]?.trim().split(/\s+/)).toEqual([String(UID), String(UID), '1']);
    expect(said.lines[4], 'the setuid program has our own uid').toMatch(new RegExp(`\\b${UID} ${UID} ${UID}\\b`));
    expect(said.report).toMatchObject(gone);
  });

  it('dies with its supervisor and its guardian, killed together', async () => {
    const source = `
      const group = await spawn(${JSON.stringify(treeactor)}, ['-r', '3', 'mixed'], {
        containment: 'namespace', stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
      await readReady(group.stdio[3]);
      console.log('ready ' + JSON.stringify({ guardian: group.mechanism.guardianPid })); setInterval(() => {}, 1e6);`;
    const node = startNode({ source }, { env: scenario.env, via: unprivileged });
    const { guardian } = await readReady<{ guardian: number }>(node.stdout ?? expect.fail('no stdout'));
    expect(scenario.alive()).toHaveLength(7);
    for (const pid of [node.pid ?? expect.fail('no pid'), guardian]) process.kill(pid, 'SIGSTOP');
    for (const pid of [guardian, node.pid ?? expect.fail('no pid')]) process.kill(pid, 'SIGKILL');
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 2_000, what: 'nobody is left' });
  });
});

describe.skipIf(reason !== '')('a machine that refuses it', () => {
  const attempt = (denied: string, containment: string) =>
    runNodeJson<{ code?: string; stage?: string; syscall?: string; path?: string; chosen?: string; evidence?: string }>(
      {
        source: `
          const answer = await spawn(member, ['exit', '0'], { containment: '${containment}', stdio: 'ignore' }).then(
            async (group) => ({ chosen: group.mechanism.containment, evidence: (await group.gone).evidence }),
            ({ code, stage, syscall, path }) => ({ code, stage, syscall, path }));
          console.log(JSON.stringify(answer));`,
      },
      { env: scenario.env, via: [deny, denied, '--'] },
    );

  it('a filter on clone: EPERM at stage namespace, and nothing weaker', async () => {
    const denied = 'clone3:ENOSYS,clone/namespaces:EPERM';
    expect(await attempt(denied, 'namespace')).toEqual({ code: 'EPERM', stage: 'namespace', syscall: 'clone' });
    // What else is spawned does not suffer from it.
    expect(await attempt(denied, 'tree')).toEqual({ chosen: 'tree', evidence: 'echild' });
  });

  it('clone3 refused alone is no obstacle', async () => {
    expect(await attempt('clone3:ENOSYS', 'namespace')).toEqual({ chosen: 'namespace', evidence: 'namespace' });
  });

  it('a filter on mount: EACCES, with the place', async () => {
    expect(await attempt('mount:EACCES', 'namespace')).toEqual({
      code: 'EACCES',
      stage: 'namespace',
      syscall: 'mount',
      path: '/',
    });
  });
});
