// What engine and guardian say to each other, tampered with on the way by native/fakeguardian.c: packets that are cut, too
// long, of another build or not of ours are refused on both sides, as a typed error or a lost guardian, and nobody is left.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SpawnError, type SpawnOptions, spawn } from '../dist/index.js';
import { childrenOf, openFds, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { build, member, root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';
import { startTree, treeactor } from './support/trees.js';

const scenario = useScenario();
const own = process.env.PROCGROUP_TEST_GUARDIAN;
const real = own ?? `${root}build/Release/procgroup-guardian`;
let before = { fds: 0, children: [] as number[] };

beforeEach(async () => {
  // The engine is up and has what it keeps, and the fake is in the guardian's place.
  await (await startTree(scenario, 'member', ['sleep'])).group.kill();
  before = { fds: openFds().length, children: childrenOf() };
  process.env.PROCGROUP_TEST_GUARDIAN = `${build}fakeguardian`;
});
afterEach(async () => {
  if (own === undefined) delete process.env.PROCGROUP_TEST_GUARDIAN;
  else process.env.PROCGROUP_TEST_GUARDIAN = own;
  await waitUntil(() => scenario.alive().length === 0, { timeoutMs: 5_000, what: 'nobody is left' });
  await waitUntil(() => openFds().length <= before.fds, { what: 'no descriptor is left' });
  expect(childrenOf()).toEqual(before.children);
  expect(zombieChildrenOf()).toEqual([]);
});

const env = (edits: string) => ({ ...scenario.env, FAKE_GUARDIAN: edits, FAKE_GUARDIAN_REAL: real });
const teardown = [{ signal: 'SIGTERM', graceMs: 100 }] as const;

async function refused(edits: string, file = treeactor, args: readonly string[] = ['mixed']): Promise<SpawnError> {
  const options: SpawnOptions = { env: env(edits), containment: 'tree', stdio: 'ignore', teardown, killWaitMs: 2_000 };
  const error = await spawn(file, args, options).then(
    async (group) => {
      await group.kill();
      expect.fail(`spawned with ${edits}`);
    },
    (reason: SpawnError) => reason,
  );
  expect(error.name).toBe('SpawnError');
  return error;
}

it('control: a fake that changes nothing is not noticed, but as the guardian of the handle', async () => {
  const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env('none'), teardown });
  expect(readFileSync(`/proc/${group.mechanism.guardianPid}/comm`, 'latin1').trim()).toBe('fakeguardian');
  expect(scenario.alive()).toHaveLength(7);
  expect(await group.members()).toHaveLength(5);
  expect(await group.stop()).toMatchObject({ empty: true, evidence: 'echild', notes: [] });
  expect(await group.exited).toMatchObject({ signal: 'SIGTERM', status: 'exact' });
});

it('news that the kernel has no memory for are sent later, in order and without a busy loop', async () => {
  const began = performance.now();
  const { group, pids } = await startTree(scenario, 'treeactor', ['mixed'], { env: env('refuse=12'), teardown });
  expect(performance.now() - began, 'twelve times 20 ms').toBeGreaterThan(200);
  expect((await group.members()).map(({ pid }) => pid).sort()).toEqual([...pids].sort());
  expect(await group.stop()).toMatchObject({ empty: true, evidence: 'echild', notes: [] });
  expect(await group.exited).toMatchObject({ signal: 'SIGTERM', status: 'exact' });
});

describe('orders that the guardian refuses', () => {
  it.each([
    'magic',
    'build',
    'short=8',
    'short=100',
    'long=4',
    'long=5000',
    'empty',
    'junk',
    'type=0',
    'type=2',
    'type=99',
    'signal=65',
  ])('the first one, %s: spawn rejects with EPROTO, the command is never started', async (edit) => {
    expect(await refused(`o0:${edit}`)).toMatchObject({ code: 'EPROTO', stage: 'guardian', syscall: 'recv' });
    expect(scenario.alive()).toEqual([]);
  });

  it('one that does not come: spawn rejects', async () => {
    expect(await refused('o0:drop')).toMatchObject({ code: 'EPROTO', stage: 'guardian' });
  });

  it.each(['magic', 'build', 'short=8', 'long=4', 'empty', 'junk', 'type=0', 'type=99', 'signal=65'])(
    'a later one, %s: it is dropped, and the guardian goes on',
    async (edit) => {
      // Order 1 is the census, order 2 the teardown.
      const { group, pids } = await startTree(scenario, 'treeactor', ['mixed'], { env: env(`o1:${edit}`), teardown });
      void group.members();
      const members = await group.members();
      expect(members.map(({ pid }) => pid).sort()).toEqual([...pids].sort());
      expect(await group.stop()).toMatchObject({ empty: true, evidence: 'echild', notes: [] });
    },
  );

  it('a second configuration changes nothing', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env('o0:twice'), teardown });
    expect(await group.members()).toHaveLength(5);
    expect(await group.stop()).toMatchObject({ empty: true, evidence: 'echild' });
  });

  it('a teardown that never arrives is not waited for without a bound', async () => {
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], {
      env: env('o1:drop'),
      teardown: [],
      killWaitMs: 100,
    });
    const report = await group.stop();
    expect(report).toMatchObject({ empty: true, cause: 'stop' });
    expect(report.notes).toContain('guardian-lost');
    expect(report.durationMs).toBeLessThan(6_000);
  });

  it('any word of the configuration, out of its range: refused, or of no harm', async () => {
    const seen: Record<string, number> = {};
    const words = Array.from({ length: 40 }, (_, i) => i + 3);
    for (const value of [0x7fffffff, 0xffffffff]) {
      for (const word of words) {
        const options: SpawnOptions = {
          env: env(`o0:word=${word}=${value}`),
          containment: 'tree',
          stdio: 'ignore',
          teardown: [],
        };
        const end = await spawn(member, ['exit', '7'], options).then(
          async (group) => {
            const [{ code }, report] = await Promise.all([group.exited, group.gone]);
            expect(report).toMatchObject({ empty: true });
            return `exit ${code}`;
          },
          ({ name, code }) => `${name} ${code}`,
        );
        seen[end] = (seen[end] ?? 0) + 1;
      }
    }
    for (const end of Object.keys(seen)) expect(end).toMatch(/^(exit 7|SpawnError E[A-Z]+)$/);
    expect(seen['SpawnError EPROTO']).toBeGreaterThan(3);
    expect(seen['exit 7']).toBeGreaterThan(3);
  });
});

describe('news that the engine refuses', () => {
  const edits = ['magic', 'build', 'short=8', 'short=100', 'long=4', 'long=5000', 'empty', 'junk', 'type=0', 'type=99'];

  it.each(edits)('the first one, %s: spawn rejects with EPROTO, and what runs already is taken down', async (edit) => {
    expect(await refused(`n0:${edit}`)).toMatchObject({ code: 'EPROTO', stage: 'guardian', syscall: 'recvmsg' });
    expect(scenario.alive()).toEqual([]);
  });

  it.each(edits)('a later one, %s: the guardian counts as lost, and the tree is taken down', async (edit) => {
    // News 0 is the start; 1 comes with the teardown.
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env(`n1:${edit}`), teardown });
    const report = await group.stop();
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(report.notes).toEqual(expect.arrayContaining(['guardian-lost', 'guardian-refused']));
  });

  it('news told twice', async () => {
    const twice = Array.from({ length: 8 }, (_, i) => `n${i}:twice`).join(' ');
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env(twice), teardown });
    const states: string[] = [];
    group.onStateChange(({ state }) => states.push(state));
    expect(await group.stop()).toMatchObject({ empty: true, survivors: [] });
    expect(await group.exited).toMatchObject({ signal: 'SIGTERM' });
    await waitUntil(() => states.at(-1) === 'empty');
    expect(states.filter((state) => state === 'empty')).toHaveLength(1);
  });

  it('a start without its pidfd, and with descriptors that nobody asked for', async () => {
    for (const edit of ['n0:fds', 'n1:fds']) {
      const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env(edit), teardown });
      expect(await group.stop(), edit).toMatchObject({ empty: true, evidence: 'echild' });
      await waitUntil(() => openFds().length <= before.fds + group.stdio.length, { what: `${edit}: none leaks` });
    }
  });

  it('the end of the story that is never told: the guardian ends without it', async () => {
    const drop = Array.from({ length: 12 }, (_, i) => `n${i + 1}:drop`).join(' ');
    const { group } = await startTree(scenario, 'treeactor', ['mixed'], { env: env(drop), teardown });
    const report = await group.stop();
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(report.notes).toContain('guardian-lost');
    expect(await group.exited).toMatchObject({ code: null });
  });
});

it('the build number follows from what the messages are made of', () => {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-protocol-'));
  scenario.defer(() => rmSync(folder, { recursive: true }));
  cpSync(`${root}native`, folder, { recursive: true });
  const number = (...of: string[]) =>
    execFileSync(process.execPath, [`${root}scripts/protocol-build.mjs`, ...of], { encoding: 'utf8' }).trim();
  const ours = number();
  expect(ours).toMatch(/^0x[1-9a-f][0-9a-f]*$/);
  expect(number(folder)).toBe(ours);
  const edit = (name: string, from: string, to: string) => {
    const text = readFileSync(join(folder, name), 'utf8');
    expect(text).toContain(from);
    writeFileSync(join(folder, name), text.replace(from, to));
    const edited = number(folder);
    writeFileSync(join(folder, name), text);
    return edited;
  };
  const edits = [
    edit('core/protocol.h', 'int32_t cause, empty', 'int32_t empty, cause'),
    edit('core/procfs.h', 'pid_t sid;', ''),
    edit('core/result.h', 'Guardian,', ''),
    edit('core/teardown.h', 'uint64_t grace_ns;', 'uint32_t grace_ns;'),
    edit('core/report.h', 'Namespace }', 'Namespace, Other }'),
  ];
  expect(new Set([ours, ...edits]).size).toBe(6);
  expect(edit('core/reaper.cc', 'reaper.h', 'other.h'), 'control: what is not part of it').toBe(ours);
});

describe('a program that is no guardian', () => {
  it('it exits at once: a typed error', async () => {
    expect(await refused('exit')).toMatchObject({ code: 'ERR_KILLED_BEFORE_EXEC', stage: 'guardian' });
  });

  it('it says nothing: an abort ends it, within a bound', async () => {
    const controller = new AbortController();
    const options: SpawnOptions = { env: env('silent'), containment: 'tree', teardown: [], killWaitMs: 100 };
    const spawning = spawn(member, ['sleep'], { ...options, signal: controller.signal });
    await waitUntil(() => scenario.alive().some(({ cmdline }) => cmdline.includes('--guard=')));
    controller.abort();
    await expect(spawning).rejects.toMatchObject({ name: 'AbortError' });
  });
});
