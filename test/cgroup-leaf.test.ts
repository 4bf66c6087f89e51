// The leaf of a containment `cgroup`: who is born in it, who counts as a member, and that it is removed in every end.
import { execFileSync, spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, type SpawnOptions, spawn } from '../dist/index.js';
import { announce, boxed, cgroupMount, processesIn, usePlace, whyNoCgroup } from './support/boxes.js';
import { childrenOf, isDead, openFds, stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { deny, member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { guardiansOf, startTree, stepSignals } from './support/trees.js';

const reason = announce('cgroup-leaf', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const teardown = [{ signal: 'SIGTERM', graceMs: 150 }] as const;
const gone = { empty: true, evidence: 'populated', covers: 'cgroup', survivors: [], notes: [] };
const start = (actor: 'member' | 'treeactor', args: string[], options: SpawnOptions = {}) =>
  startTree(scenario, actor, args, { ...boxed('cgroup', place), teardown, ...options });
const leafOf = (group: ProcessGroup): string => group.mechanism.cgroupPath ?? expect.fail('no leaf');

describe.skipIf(reason !== '')('the leaf', () => {
  it('holds the leader from its birth, its whole tree, and not the guardian', async () => {
    const { group, pids } = await start('treeactor', ['mixed']);
    const leaf = leafOf(group);
    expect(dirname(leaf)).toBe(place.path);
    expect(group.mechanism.containment).toBe('cgroup');
    expect(processesIn(leaf).sort()).toEqual([...pids].sort());
    expect(processesIn(leaf)).not.toContain(group.mechanism.guardianPid);
    expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([...pids].sort());
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
    expect(existsSync(leaf)).toBe(false);
    expect(scenario.alive()).toEqual([]);
  });

  it('is named after its owner: pid, start time, PID namespace, number', async () => {
    const { group } = await start('member', ['sleep']);
    const own = stat(process.pid);
    const [space] = /\d+/.exec(execFileSync('readlink', ['/proc/self/ns/pid'], { encoding: 'utf8' })) ?? [];
    expect(basename(leafOf(group))).toMatch(
      new RegExp(`^procgroup\\.${process.pid}\\.${own?.startTime}\\.${space}\\.\\d+$`),
    );
    await group.kill();
  });

  it('is named so too where the table of descriptors was full at first', async () => {
    const source = `
      const leaf = () => spawn(member, ['exit', '0'], { ...${JSON.stringify(boxed('cgroup', place))}, stdio: 'ignore' });
      await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
      const fds = [];
      try { for (;;) fds.push(nodeFs.openSync('/dev/null')); } catch {}
      let refused = 0;
      for (let i = 0; i < 12; i++) {
        await leaf().then((group) => group.gone, () => { refused++; });
        nodeFs.closeSync(fds.pop());
      }
      for (const fd of fds) nodeFs.closeSync(fd);
      const group = await leaf();
      await group.gone;
      console.log(JSON.stringify([refused > 1, group.mechanism.cgroupPath, oracle.stat(process.pid).startTime]));`;
    const via = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];
    const [refused, leaf, startTime] = await runNodeJson<[boolean, string, number]>(
      { source },
      { env: scenario.env, via },
    );
    expect([refused, basename(leaf).split('.')[2]]).toEqual([true, String(startTime)]);
  });

  it('is found by itself: below our own cgroup', async () => {
    const group = await spawn(member, ['exit', '3'], { env: scenario.env, containment: 'cgroup', stdio: 'ignore' });
    const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '';
    expect(dirname(leafOf(group))).toBe(join(cgroupMount ?? '', own).replace(/\/$/, ''));
    expect(await group.exited).toMatchObject({ code: 3, limitsHit: [] });
    expect(await group.gone).toMatchObject({ ...gone, cause: null, steps: [] });
    expect(existsSync(leafOf(group))).toBe(false);
  });

  it('where clone3 is refused the child moves itself, before exec', async () => {
    const source = `
      const group = await spawn('/bin/sh', ['-c', 'cat /proc/self/cgroup; exec ' + member + ' exit 4'], {
        containment: 'cgroup', cgroup: { parent: ${JSON.stringify(place.path)} }, stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      group.stdout.on('data', (chunk) => { text += chunk; });
      const report = await group.gone;
      await group.closed;
      const refused = await spawn('/no/such', [], { containment: 'cgroup', cgroup: { parent: ${JSON.stringify(place.path)} } })
        .catch(({ code, stage }) => ({ code, stage }));
      console.log(JSON.stringify({ mechanism: group.mechanism, text, report, exit: await group.exited, refused }));`;
    const said = await runNodeJson<{
      mechanism: ProcessGroup['mechanism'];
      text: string;
      report: unknown;
      exit: unknown;
      refused: unknown;
    }>({ source }, { env: scenario.env, via: [deny, 'clone3:ENOSYS', '--'] });
    expect(said.mechanism.spawn).toBe('clone');
    expect(said.text).toMatch(new RegExp(`^0::.*/${basename(said.mechanism.cgroupPath ?? '')}$`, 'm'));
    expect(said.exit).toMatchObject({ code: 4 });
    expect(said.report).toMatchObject(gone);
    expect(said.refused).toEqual({ code: 'ENOENT', stage: 'exec' });
  });
});

describe.skipIf(reason !== '')('members that are no descendants, and descendants that are no members', () => {
  it('a process that was moved in counts: it is listed, waited for and taken down', async () => {
    const { group } = await start('member', ['sleep']);
    const stranger = nodeSpawn(member, ['ignore-term'], { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'] });
    await readReady(stranger.stdout);
    writeFileSync(join(leafOf(group), 'cgroup.procs'), String(stranger.pid));
    expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([group.pid, stranger.pid].sort());
    const ended = once(stranger, 'exit');
    process.kill(group.pid, 'SIGKILL');
    await group.exited;
    expect(group.state).toBe('leader-exited');
    const report = await group.stop();
    expect(report).toMatchObject({ ...gone, cause: 'stop' });
    expect(stepSignals(report)).toEqual(['SIGTERM', 'SIGKILL']);
    expect((await ended)[1]).toBe('SIGKILL');
  });

  it('nobody is asked twice: the end of such a process ends the group', async () => {
    const { group } = await start('member', ['sleep']);
    const stranger = nodeSpawn(member, ['sleep'], { env: scenario.env, stdio: ['ignore', 'pipe', 'inherit'] });
    await readReady(stranger.stdout);
    writeFileSync(join(leafOf(group), 'cgroup.procs'), String(stranger.pid));
    process.kill(group.pid, 'SIGKILL');
    await group.exited;
    stranger.kill('SIGKILL');
    expect(await group.gone).toMatchObject({ ...gone, cause: null, steps: [] });
  });

  it('a member that moves itself out survives cgroup.kill, and not the teardown', async () => {
    const script = `setsid sh -c 'echo $$ > ${cgroupMount}/cgroup.procs; echo "ready {\\"pid\\":$$,\\"members\\":[]}" >&3; exec sleep 300 3>&-' & wait`;
    const options = {
      env: scenario.env,
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
      ...boxed('cgroup', place),
      teardown,
    } as const;
    const group = (await spawn('/bin/sh', ['-c', script], options)) as ProcessGroup;
    const { pid } = await readReady(group.stdio[3] as never);
    expect(processesIn(leafOf(group))).not.toContain(pid);
    // Control: the kernel's own way leaves it.
    writeFileSync(join(leafOf(group), 'cgroup.kill'), '1');
    await group.exited;
    expect(isDead(pid)).toBe(false);
    expect(group.state).toBe('leader-exited');
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
    expect(isDead(pid)).toBe(true);
  });

  it('one that moves out and ignores SIGTERM is killed in the last step', async () => {
    const script = `trap '' TERM; echo $$ > ${cgroupMount}/cgroup.procs; echo "ready {\\"pid\\":$$,\\"members\\":[]}" >&3; exec 3>&-; while :; do sleep 300; done`;
    const options = {
      env: scenario.env,
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
      ...boxed('cgroup', place),
      teardown,
    } as const;
    const group = (await spawn('/bin/sh', ['-c', script], options)) as ProcessGroup;
    await readReady(group.stdio[3] as never);
    const report = await group.stop();
    expect(report).toMatchObject(gone);
    expect(report.durationMs).toBeLessThan(2_000);
    expect(scenario.alive()).toEqual([]);
  });

  it('one that moves out and removes the leaf behind it: the guardian waits, and does not spin', async () => {
    const script = `L=$(sed -n s/^0:://p /proc/self/cgroup); echo $$ > ${place.path}/cgroup.procs
      sleep 0.1; rmdir ${place.path}/$(basename "$L"); echo 'ready {"pid":0,"members":[]}' >&3; exec sleep 300 3>&-`;
    const group = (await spawn('/bin/sh', ['-c', script], {
      env: scenario.env,
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
      ...boxed('cgroup', place),
      teardown,
    })) as ProcessGroup;
    await readReady(group.stdio[3] as never);
    expect(existsSync(leafOf(group))).toBe(false);
    const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
    const ticks = () => readFileSync(`/proc/${guardian}/stat`, 'latin1').split(') ')[1]?.split(' ').slice(11, 13);
    process.kill(guardian, 'SIGWINCH'); // nothing to it, but it looks up
    const before = ticks();
    execFileSync('sleep', ['0.5']);
    expect(ticks()).toEqual(before);
    expect(await group.stop()).toMatchObject({ ...gone, cause: 'stop' });
  });

  it('cgroups that members have made below the leaf go with it', async () => {
    const { group } = await start('member', ['sleep']);
    const nested = join(leafOf(group), 'inner', 'innermost');
    mkdirSync(nested, { recursive: true });
    writeFileSync(join(nested, 'cgroup.procs'), String(group.pid));
    expect(processesIn(leafOf(group))).toEqual([]);
    expect((await group.members()).map(({ pid }) => pid)).toEqual([group.pid]);
    expect(await group.stop()).toMatchObject(gone);
    expect(place.leaves()).toEqual([]);
  });
});

describe.skipIf(reason !== '')('what is left of one that failed', () => {
  it.each([
    ['a program that is not there', '/no/such/program', {}, 'ENOENT', 'exec'],
    ['a directory that is not there', member, { cwd: '/no/such' }, 'ENOENT', 'chdir'],
    ['a program that cannot be executed', '/etc/passwd', {}, 'EACCES', 'exec'],
  ] as const)('%s: no leaf, process, zombie or descriptor', async (_, file, options, code, stage) => {
    await (await spawn(member, ['exit', '0'], { ...boxed('cgroup', place), stdio: 'ignore' })).gone;
    const before = openFds().length;
    const error = await spawn(file, ['exit', '0'], {
      ...boxed('cgroup', place),
      env: scenario.env,
      stdio: 'ignore',
      ...options,
    }).then(
      async (group) => {
        await group.kill();
        return null;
      },
      (reason) => reason,
    );
    if (error !== null) {
      expect(error.name).toBe('SpawnError');
      expect(error.code).toMatch(code);
      expect(error.stage).toMatch(stage);
    }
    expect(place.leaves()).toEqual([]);
    expect(childrenOf()).toEqual([]);
    expect(zombieChildrenOf()).toEqual([]);
    await waitUntil(() => openFds().length <= before, { what: 'no descriptor is left' });
  });

  it('an abort before spawn settles, and at once after', async () => {
    for (let round = 0; round < 30; round++) {
      const controller = new AbortController();
      const spawning = spawn(member, ['sleep'], {
        ...boxed('cgroup', place),
        env: scenario.env,
        stdio: 'ignore',
        signal: controller.signal,
      });
      if (round % 3 === 1) await waitUntil(() => guardiansOf().length > 0, { everyMs: 0 });
      if (round % 3 === 2) await waitUntil(() => place.leaves().length > 0, { everyMs: 0 });
      controller.abort();
      const { group, error } = await spawning.then(
        (group) => ({ group, error: undefined }),
        (error) => ({ group: undefined, error }),
      );
      if (group === undefined) expect(error.name).toBe('AbortError');
      else expect(await group.gone).toMatchObject({ ...gone, cause: 'abort' });
      expect(place.leaves(), `round ${round}`).toEqual([]);
      expect(scenario.alive()).toEqual([]);
    }
  });
});

it.skipIf(reason !== '')('two supervisors side by side in one parent do not see each other', async () => {
  const source = `
    const groups = await Promise.all(Array.from({ length: 8 }, () => spawn(paths.build + 'treeactor', ['-r', '3', 'mixed'], {
      containment: 'cgroup', cgroup: { parent: ${JSON.stringify(place.path)} }, stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      teardown: [{ signal: 'SIGTERM', graceMs: 100 }] })));
    await Promise.all(groups.map((group) => readReady(group.stdio[3])));
    console.log('ready ' + JSON.stringify({ leaves: groups.map((group) => group.mechanism.cgroupPath) }));
    process.stdin.resume().once('end', async () => {
      const reports = await Promise.all(groups.map((group) => group.stop()));
      console.log(JSON.stringify(reports.map(({ empty, evidence }) => [empty, evidence])));
    });`;
  const nodes = [1, 2].map(() => startNode({ source }, { env: scenario.env, input: '' }));
  const said = await Promise.all(
    nodes.map((node) => readReady<{ leaves: string[] }>(node.stdout ?? expect.fail('no stdout'))),
  );
  const [one = [], two = []] = said.map(({ leaves }) => leaves);
  expect(new Set([...one, ...two]).size).toBe(16);
  expect(place.leaves()).toHaveLength(16);
  let text = '';
  nodes[0]?.stdout?.on('data', (chunk) => {
    text += chunk;
  });
  const ended = once(nodes[0] ?? expect.fail(), 'close');
  nodes[0]?.stdin?.end();
  await ended;
  expect(JSON.parse(text)).toEqual(Array.from({ length: 8 }, () => [true, 'populated']));
  expect(place.leaves().sort()).toEqual(two.map((path) => basename(path)).sort());
  for (const leaf of two) expect(processesIn(leaf)).toHaveLength(5);
  nodes[1]?.kill('SIGKILL');
  await waitUntil(() => place.leaves().length === 0, {
    timeoutMs: 5_000,
    what: 'the second one, killed, leaves none either',
  });
  expect(scenario.alive()).toEqual([]);
});
