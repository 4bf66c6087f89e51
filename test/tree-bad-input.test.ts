// T8 under containment `tree`: what the guardian's child could not do arrives as the same typed error as without a guardian,
// and nothing is left of it: no guardian, no descriptor, no zombie.
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { output, type SpawnError, type SpawnOptions, spawn } from '../dist/index.js';
import { childrenOf, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { type Footprint, footprint, useScenario } from './support/scenario.js';
import { guardiansOf } from './support/trees.js';

const scenario = useScenario();
const dir = mkdtempSync(join(tmpdir(), 'procgroup-tree-bad-'));
const at = (name: string) => join(dir, name);
const call = (file: string, args: readonly string[] = [], options: SpawnOptions = {}) =>
  spawn(file, args, { env: scenario.env, stdio: 'ignore', containment: 'tree', ...options });

let before: { process: Footprint; children: number[] };
const look = () => ({ process: footprint(), children: childrenOf() });
beforeAll(async () => {
  await Promise.all(Array.from({ length: 64 }, async () => (await call(member, ['exit', '0'])).gone));
});
afterAll(() => rmSync(dir, { recursive: true }));
beforeEach(() => {
  before = look();
});
afterEach(() => {
  expect(look()).toEqual(before);
  expect(scenario.alive()).toEqual([]);
});

async function failed(code: string, promise: Promise<unknown>): Promise<SpawnError> {
  const error = await promise.then(
    () => expect.fail('spawned'),
    (reason: SpawnError) => reason,
  );
  expect(error).toMatchObject({ name: 'SpawnError', code });
  expect(error.errno).toBeLessThan(0);
  // At once, and not only at the end of the test.
  expect(guardiansOf()).toEqual([]);
  return error;
}

function executable(name: string, text: string, mode = 0o755): string {
  writeFileSync(at(name), text);
  chmodSync(at(name), mode);
  return at(name);
}

describe('T8: exec failures under a guardian', () => {
  it('T8: ENOENT of the program, by path and by PATH, and of the cwd', async () => {
    const program = at('nothing');
    expect(await failed('ENOENT', call(program))).toMatchObject({
      path: program,
      errno: -2,
      stage: 'exec',
      syscall: 'execve',
    });
    const name = 'no-such-program-anywhere';
    expect(await failed('ENOENT', call(name))).toMatchObject({ path: name, stage: 'lookup' });
    const cwd = at('missing');
    expect(await failed('ENOENT', call(member, ['sleep'], { cwd }))).toMatchObject({
      path: cwd,
      stage: 'chdir',
      syscall: 'chdir',
    });
  });

  it('T8: EACCES of a file, of a directory; a missing interpreter, a loop, a cwd that is a file', async () => {
    const locked = executable('locked', '#!/bin/sh\n', 0o644);
    expect(await failed('EACCES', call(locked))).toMatchObject({ stage: 'exec', path: locked });
    mkdirSync(at('folder'));
    await failed('EACCES', call(at('folder')));
    const lost = executable('lost', '#!/no/such/interpreter\n');
    const error = await failed('ENOENT', call(lost));
    expect(error).toMatchObject({ stage: 'exec', path: lost });
    expect(error.message).toContain('interpreter');
    symlinkSync(at('loop'), at('loop'));
    await failed('ELOOP', call(at('loop')));
    await failed('ENOTDIR', call(`${locked}/x`));
    expect(await failed('ENOTDIR', call(member, [], { cwd: locked }))).toMatchObject({ stage: 'chdir' });
  });

  it('T8: E2BIG, of arguments and of environment', async () => {
    await failed('E2BIG', call(member, ['x'.repeat(3 << 20)]));
    await failed('E2BIG', call(member, [], { env: { BIG: 'x'.repeat(3 << 20) } }));
  });

  it('T8: rlimit, nice and oom score: refused by the kernel, named by stage', async () => {
    const limit = call(member, ['sleep'], { rlimits: { nofile: { soft: 10, hard: 2 ** 40 } } });
    expect(await failed('EPERM', limit)).toMatchObject({ stage: 'rlimit', syscall: 'setrlimit' });
  });

  it('T8: a descriptor that is not open, a file of stdio that is missing', async () => {
    await failed('EBADF', call(member, ['exit', '0'], { stdio: ['ignore', 999_999, 'ignore'] }));
    const stdio = ['pipe', 'pipe', 'pipe', 'pipe', { file: at('missing'), flags: 'r' }] as const;
    expect(await failed('ENOENT', call(member, ['exit', '0'], { stdio }))).toMatchObject({ stage: 'stdio' });
  });

  it('T8: ETXTBSY is retried, and is a typed error after a bounded time', async () => {
    const path = at('busy');
    copyFileSync(member, path);
    chmodSync(path, 0o755);
    const fd = openSync(path, 'r+');
    const begin = performance.now();
    expect(await failed('ETXTBSY', call(path, ['exit', '0']))).toMatchObject({ stage: 'exec', path });
    expect(performance.now() - begin).toBeLessThan(5_000);
    closeSync(fd);
    expect(await output(path, ['exit', '6'], { containment: 'tree' })).toMatchObject({ code: 6 });
  });

  it('T8: a guardian that is not there, that may not be executed, that is no program', async () => {
    const keep = process.env.PROCGROUP_TEST_GUARDIAN;
    try {
      process.env.PROCGROUP_TEST_GUARDIAN = at('no-guardian');
      await failed('ENOENT', call(member, ['sleep']));
      process.env.PROCGROUP_TEST_GUARDIAN = executable('no-exec', '', 0o644);
      await failed('EACCES', call(member, ['sleep']));
    } finally {
      if (keep === undefined) delete process.env.PROCGROUP_TEST_GUARDIAN;
      else process.env.PROCGROUP_TEST_GUARDIAN = keep;
    }
  });

  it('T8: 120 failures in flight at once', async () => {
    const kinds = [
      () => failed2('ENOENT', call(at('nothing'), [], { stdio: 'pipe' })),
      () => failed2('ENOENT', call(member, ['exit', '0'], { cwd: at('missing'), stdio: 'pipe' })),
      () => failed2('EACCES', call(dir, [], { stdio: 'pipe' })),
    ];
    await Promise.all(Array.from({ length: scaled(120) }, (_, i) => kinds[i % 3]?.()));
    expect(guardiansOf()).toEqual([]);
  });
});

async function failed2(code: string, promise: Promise<unknown>): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'SpawnError', code });
}

describe('T8: an abort before spawn settled', () => {
  it('T8: rejects with AbortError, nothing is left', async () => {
    for (let round = 0; round < scaled(60); round++) {
      const controller = new AbortController();
      const reason = new Error('on purpose');
      const spawning = call(member, ['ignore-term'], { signal: controller.signal, stdio: 'pipe', teardown: [] });
      const end = spawning.then(
        async (group) => {
          const report = await group.gone;
          expect(report).toMatchObject({ empty: true, cause: 'abort' });
          await group.closed;
          for (const stream of group.stdio) stream?.destroy();
          // Its descriptor goes a turn after destroy().
          await waitUntil(() => group.stdio.every((stream) => stream === null || stream.closed));
          return 'spawned';
        },
        (error: Error) => {
          expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason });
          return 'aborted';
        },
      );
      const moment = performance.now() + (round % 20) / 5;
      while (performance.now() < moment) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(reason);
      await end;
      expect(scenario.alive(), `round ${round}`).toEqual([]);
    }
  });

  it('T8: a guardian that is stopped while it starts', async () => {
    const controller = new AbortController();
    const spawning = call('/bin/sh', ['-c', 'sleep 300'], { signal: controller.signal, teardown: [], killWaitMs: 200 });
    spawning.catch(() => {});
    const guardian = await waitUntil(() => guardiansOf()[0], { everyMs: 0 });
    process.kill(guardian, 'SIGSTOP');
    controller.abort();
    const end = await spawning.then(
      (group) => group.gone.then(() => 'gone'),
      ({ code }) => code,
    );
    expect(['gone', 'ABORT_ERR']).toContain(end);
    await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 15_000 });
  });
});

it('T8: EMFILE in the supervisor is a typed error, and passes; a running tree can still be torn down', async () => {
  const source = `
    const options = { containment: 'tree', teardown: [{ signal: 'SIGTERM', graceMs: 50 }] };
    const group = await spawn(member, ['-r', '3', 'grandchild-ignores-term'], {
      ...options, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    await readReady(group.stdio[3]);
    await new Promise((resolve) => group.stdio[3].on('close', resolve).destroy());
    const attempt = () => spawn(member, ['exit', '0'], { ...options, stdio: 'pipe' }).then(
      async (one) => { for (const s of one.stdio) s.on('error', () => {}).resume?.(); await one.gone; await one.closed; return 'spawned'; },
      ({ name, code, errno, stage }) => [name, code, errno, typeof stage].join(' '),
    );
    const fds = [];
    const fill = () => { try { for (;;) fds.push(nodeFs.openSync('/dev/null')); } catch (error) { return error.code; } };
    const full = fill();
    const seen = [];
    for (let i = 0; i < 20; i++) {
      seen.push(await attempt());
      nodeFs.closeSync(fds.pop());
    }
    fill();
    const members = (await group.members()).length;
    const report = await group.stop();
    for (const fd of fds) nodeFs.closeSync(fd);
    const after = await attempt();
    console.log(JSON.stringify({ full, seen, members, report, after, zombies: oracle.zombieChildrenOf(), children: oracle.childrenOf() }));`;
  const run = await runNodeJson<{ seen: string[]; report: unknown }>(
    { source },
    { env: scenario.env, via: ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'] },
  );
  expect(run).toMatchObject({ full: 'EMFILE', after: 'spawned', members: 2, zombies: [], children: [] });
  for (const one of run.seen) expect(['SpawnError EMFILE -24 string', 'spawned']).toContain(one);
  expect(run.seen[0]).toBe('SpawnError EMFILE -24 string');
  expect(run.report).toMatchObject({ empty: true, evidence: 'echild', survivors: [] });
});

// RLIMIT_NPROC does not bind root, and counts threads of the same uid: one of the test's own.
it.skipIf(process.getuid?.() !== 0)('T8: EAGAIN at RLIMIT_NPROC, of the guardian or of its child, passes', async () => {
  const source = `
    const attempt = () => spawn(member, ['sleep'], { stdio: 'ignore', containment: 'tree' }).catch((error) => error);
    const groups = [];
    const errors = [];
    for (let i = 0; i < 60 && errors.length < 4; i++) {
      const one = await attempt();
      if (one instanceof Error) errors.push([one.name, one.code, one.errno, one.stage].join(' '));
      else groups.push(one);
    }
    const children = oracle.childrenOf().length - groups.length;
    const reports = await Promise.all(groups.map((group) => group.kill()));
    const after = await output(member, ['exit', '4'], { containment: 'tree' });
    console.log(JSON.stringify({ errors: [...new Set(errors)], children, after: after.code, some: groups.length > 5,
      empty: reports.every((report) => report.empty), zombies: oracle.zombieChildrenOf() }));`;
  const as = ['setpriv', '--reuid', '64997', '--regid', '64997', '--clear-groups', 'prlimit', '--nproc=60'];
  const run = await runNodeJson<{ errors: string[] }>({ source }, { env: scenario.env, via: as });
  const { errors, ...rest } = run;
  // Of the clone of the guardian, of its own clone, or of the thread that waits for it where there is no pidfd.
  for (const error of errors) expect(error).toMatch(/^SpawnError EAGAIN -11 (clone|register)$/);
  expect(errors.length).toBeGreaterThan(0);
  expect(rest).toEqual({
    children: 0,
    after: 4,
    some: true,
    empty: true,
    zombies: [],
  });
});
