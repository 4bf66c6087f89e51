import { chmodSync, closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { output, spawn } from '../dist/index.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { footprint, useScenario } from './support/scenario.js';

const scenario = useScenario();

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'procgroup-exhaustion-'));
  scenario.defer(() => rmSync(dir, { recursive: true }));
  return dir;
}

it('T8: EMFILE is a typed error, leaves nothing, and passes; a running group can still be torn down', async () => {
  const source = `
    const group = await spawn(member, ['-r', '3', 'grandchild-ignores-term'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [{ signal: 'SIGTERM', graceMs: 50 }]
    });
    await readReady(group.stdio[3]);
    await new Promise((resolve) => group.stdio[3].on('close', resolve).destroy());
    const attempt = () => spawn(member, ['exit', '0'], { stdio: 'pipe' }).then(
      async (one) => { for (const s of one.stdio) s.on('error', () => {}).resume?.(); await one.gone; await one.closed; return 'spawned'; },
      ({ name, code, errno, stage }) => [name, code, errno, typeof stage].join(' '),
    );
    const fds = [];
    const fill = () => { try { for (;;) fds.push(nodeFs.openSync('/dev/null')); } catch (error) { return error.code; } };
    const full = fill();
    const held = fds.length;
    const seen = [];
    for (let i = 0; i < 12; i++) {
      seen.push(await attempt());
      // One descriptor more is free for each attempt, so that each step in turn is the one that fails.
      nodeFs.closeSync(fds.pop());
    }
    fill();
    const members = (await group.members()).length;
    const report = await group.stop();
    for (const fd of fds) nodeFs.closeSync(fd);
    const after = await attempt();
    console.log(JSON.stringify({ full, seen, members, report, after, zombies: oracle.zombieChildrenOf(), children: oracle.childrenOf() }));`;
  const run = await runNodeJson<{ full: string; seen: string[]; report: unknown }>(
    { source },
    { env: scenario.env, via: ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'] },
  );
  expect(run).toMatchObject({ full: 'EMFILE', after: 'spawned', members: 2, zombies: [], children: [] });
  expect(run.seen[0]).toBe('SpawnError EMFILE -24 string');
  for (const one of run.seen) expect(['SpawnError EMFILE -24 string', 'spawned']).toContain(one);
  expect(run.report).toMatchObject({ empty: true, survivors: [] });
  expect(scenario.alive()).toEqual([]);
});

/** A source in which `fill()` takes every descriptor, and `start()` answers a handle and its ready line. */
const fullTable = (source: string) => `
  const fds = [];
  const fill = () => { try { for (;;) fds.push(nodeFs.openSync('/dev/null')); } catch (error) { return error.code; } };
  const free = (count) => { for (; count > 0; count--) nodeFs.closeSync(fds.pop()); };
  // While the engine looks one is free: where another thread fills the table, it can lose the descriptor that it lends.
  const fillAround = async (group) => {
    fill();
    free(1);
    await group.members();
    fill();
  };
  const start = async (file, args, options) => {
    const group = await spawn(file, ['-r', '3', ...args], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], ...options });
    const ready = await readReady(group.stdio[3]);
    await new Promise((resolve) => group.stdio[3].on('close', resolve).destroy());
    return { group, ready };
  };
  const teardown = [{ signal: 'SIGTERM', graceMs: 50 }];
  ${source}`;
const few = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];

it('T8: attach() to a living group is EMFILE where nothing can pin it, and works where something can', async () => {
  const source = fullTable(`
    const { group: started, ready } = await start(member, ['grandchild-ignores-term'], { containment: 'leader' });
    fill();
    let group;
    const refused = [];
    for (let i = 0; i < 12 && !group; i++) {
      try { group = await attach(started.pgid, { teardown }); } catch (error) { refused.push(error); free(1); }
    }
    await fillAround(group);
    const errors = refused.map(({ code, stage }) => [code, stage].join(' '));
    const alive = [ready.pid, ...ready.members].every((pid) => process.kill(pid, 0));
    const { empty, survivors } = await group.stop();
    console.log(JSON.stringify({ errors: [...new Set(errors)], alive, empty, survivors }));`);
  expect(await runNodeJson({ source }, { env: scenario.env, via: few })).toEqual({
    errors: ['EMFILE attach'],
    alive: true,
    empty: true,
    survivors: [],
  });
  expect(scenario.alive()).toEqual([]);
});

it('T8: members that are signalled one by one are all reached, though few descriptors or none are left', async () => {
  const source = fullTable(`
    const treeactor = member.replace(/member$/, 'treeactor');
    const { group: session } = await start(member, ['setpgid'], { isolation: 'session', containment: 'group', teardown });
    const { group: tree } = await start(treeactor, ['mixed'], { containment: 'tree', teardown, killWaitMs: 5_000 });
    const { group: started } = await start(member, ['leaves-later', '6'], { containment: 'leader' });
    await started.gone;
    fill();
    free(2);
    const attached = await attach(started.pgid, { teardown });
    let target;
    // The engine's own thread may have been looking while the table was filled.
    while (target === undefined) {
      await fillAround(attached);
      try { target = attached.signal('SIGCONT'); } catch (error) { if (error.code !== 'EMFILE') throw error; }
    }
    process.kill(tree.mechanism.guardianPid, 'SIGKILL');
    const reports = await Promise.all([session.stop(), tree.gone, attached.stop()]);
    console.log(JSON.stringify({ target, ends: reports.map(({ empty, survivors }) => ({ empty, survivors })) }));`);
  expect(await runNodeJson({ source }, { env: scenario.env, via: few })).toEqual({
    target: 'members',
    ends: Array(3).fill({ empty: true, survivors: [] }),
  });
  expect(scenario.alive()).toEqual([]);
});

// A limit below what is open: nothing can be opened, in the place of a spare descriptor neither.
it('T8: signal() to members that cannot be looked at is EMFILE, and does not call them gone', async () => {
  const source = `
    const group = await spawn(member, ['-r', '3', 'leaves-later', '2'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'], containment: 'leader' });
    await readReady(group.stdio[3]);
    await group.gone;
    const attached = await attach(group.pgid, { teardown: [] });
    const script = 'limit() { prlimit --pid "$1" --nofile="$2": && echo "ready {}" && read -r line; }; limit "$1" 3; limit "$1" 96';
    const told = [];
    const tell = () => { try { told.push(attached.signal('SIGCONT')); } catch ({ name, code }) { told.push(name + ' ' + code); } };
    tell();
    const limits = nodeProcess.spawn('sh', ['-c', script, 'sh', String(process.pid)], { stdio: ['pipe', 'pipe', 'inherit'] });
    await readReady(limits.stdout);
    tell();
    limits.stdin.write('\\n');
    await readReady(limits.stdout.resume());
    tell();
    const { empty } = await attached.kill();
    limits.stdin.end();
    console.log(JSON.stringify({ told, empty }));`;
  expect(await runNodeJson({ source }, { env: scenario.env, via: few })).toEqual({
    told: ['members', 'ProcessGroupError EMFILE', 'members'],
    empty: true,
  });
});

// Else the number would be looked at when the clone is made: by then it may be another file's.
it('T8: a descriptor that cannot be copied is EMFILE at once, whatever becomes of its number', async () => {
  const source = `
    await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
    const fd = nodeFs.openSync('/dev/null');
    const fds = [];
    try { for (;;) fds.push(nodeFs.openSync('/dev/null')); } catch {}
    const starting = spawn(member, ['exit', '0'], { stdio: [fd, fd, fd], containment: 'leader' });
    for (const one of fds) nodeFs.closeSync(one);
    const { code, stage, syscall } = await starting.then(() => ({}), (error) => error);
    console.log(JSON.stringify({ code, stage, syscall }));`;
  const via = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];
  expect(await runNodeJson({ source }, { env: scenario.env, via })).toEqual({
    code: 'EMFILE',
    stage: 'stdio',
    syscall: 'fcntl',
  });
});

// RLIMIT_NPROC does not bind root, and counts threads of the same uid: one of the test's own.
it.skipIf(process.getuid?.() !== 0)('T8: EAGAIN at RLIMIT_NPROC is a typed error, and passes', async () => {
  const source = `
    const attempt = () => spawn(member, ['sleep'], { stdio: 'ignore' }).catch((error) => error);
    const groups = [];
    let refused;
    while (!refused && groups.length < 200) {
      const one = await attempt();
      if (one instanceof Error) refused = one;
      else groups.push(one);
    }
    const { name, code, errno, stage } = refused ?? {};
    const zombies = oracle.zombieChildrenOf();
    const children = oracle.childrenOf().length - groups.length;
    const reports = await Promise.all(groups.map((group) => group.kill()));
    const after = await output(member, ['exit', '4']);
    console.log(JSON.stringify({
      error: { name, code, errno, stage }, zombies, children, after: after.code, some: groups.length > 5,
      empty: reports.every((report) => report.empty), uid: process.getuid(),
    }));`;
  const run = await runNodeJson(
    { source },
    {
      env: scenario.env,
      via: ['setpriv', '--reuid', '64998', '--regid', '64998', '--clear-groups', 'prlimit', '--nproc=60'],
    },
  );
  expect(run).toEqual({
    error: {
      name: 'SpawnError',
      code: 'EAGAIN',
      errno: -11,
      // Without pidfds the thread that would wait for the child is refused just as well.
      stage: expect.stringMatching(
        process.env.PROCGROUP_TEST_DISABLE?.includes('pidfd') ? /^(clone|register)$/ : /^clone$/,
      ),
    },
    zombies: [],
    children: 0,
    after: 4,
    some: true,
    empty: true,
    uid: 64998,
  });
});

it('T8: ETXTBSY of a file that stays open for writing: a typed error after a bounded time', async () => {
  const path = join(temporary(), 'busy');
  copyFileSync(member, path);
  chmodSync(path, 0o755);
  await output(member, ['exit', '0']);
  const before = footprint();
  const fd = openSync(path, 'r+');
  const begin = performance.now();
  await expect(output(path, ['exit', '0'])).rejects.toMatchObject({
    name: 'SpawnError',
    code: 'ETXTBSY',
    errno: -26,
    stage: 'exec',
    path,
  });
  expect(performance.now() - begin).toBeLessThan(5_000);
  closeSync(fd);
  expect(await output(path, ['exit', '6'])).toMatchObject({ code: 6 });
  expect(footprint()).toEqual(before);
});

it('T8: a script that was just written runs, while other spawns are in flight', async () => {
  const dir = temporary();
  const rounds = scaled(300);
  let running = true;
  // A child of these between clone and exec holds a copy of the descriptor that writes the script.
  const busy = Array.from({ length: 3 }, async () => {
    while (running) await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
  });
  const codes = new Set<number | null | string>();
  for (let i = 0; i < rounds; i++) {
    const path = join(dir, `script-${i}`);
    writeFileSync(path, '#!/bin/sh\nexit 7\n', { mode: 0o755 });
    codes.add(
      await output(path).then(
        ({ code }) => code,
        (error) => String(error),
      ),
    );
  }
  running = false;
  await Promise.all(busy);
  expect([...codes]).toEqual([7]);
});
