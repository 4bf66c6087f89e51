// The tests' own tools: an oracle that sees nothing would let every absence test pass.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alive, isDead, killMarked, newMark, openFds, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { actor, deny, member, root } from './support/paths.mjs';
import { startPlain } from './support/plain.js';
import { readReady } from './support/ready.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

describe('the oracle', () => {
  it.each([
    'sleep',
    'ignore-term',
    'grandchild-ignores-term',
    'stopped-member',
    'vfork-parent',
    'wide',
    'deep',
    'setsid',
    'setpgid',
    'double-fork',
    'unreaped-member',
    'main-thread-ended',
  ])('sees every process of %s, and kills them all', async (verb) => {
    const { child, ready, exited } = await startPlain(scenario, [verb]);
    const expected = [ready.pid, ...ready.members].sort();
    expect(
      scenario
        .alive()
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual(expected);
    expect(
      killMarked(scenario.id)
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual(expected);
    await exited;
    expect(expected.filter((pid) => !isDead(pid))).toEqual([]);
    expect(child.killed).toBe(false);
  });

  it('tells marks apart, and finds those below one', async () => {
    scenario.leaves();
    const [one, two] = [newMark(), newMark()];
    const child = spawn(member, ['sleep'], {
      env: { ...process.env, ...one.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await readReady(child.stdout);
    expect(alive(one.id)).toEqual([expect.objectContaining({ pid: child.pid })]);
    expect(alive(two.id)).toEqual([]);
    expect(alive(`${one.id}.`)).toEqual([]);
    expect(alive(`${process.env.PROCGROUP_TEST_MARK}.`).map(({ pid }) => pid)).toContain(child.pid);
    killMarked(one.id);
    await new Promise((resolve) => child.once('exit', resolve));
  });

  it('sees descriptors and zombies', async () => {
    const source = `
      const before = oracle.openFds().length;
      const fd = nodeFs.openSync('/dev/null');
      if (oracle.openFds().length !== before + 1) throw new Error('descriptor not seen');
      nodeFs.closeSync(fd);
      const child = nodeProcess.spawn(member, ['exit', '0'], { stdio: 'ignore' });
      // The loop does not turn meanwhile, so libuv cannot reap it.
      const end = performance.now() + 10_000;
      while (oracle.zombieChildrenOf().length === 0 && performance.now() < end);
      console.log(oracle.zombieChildrenOf().length, oracle.isDead(child.pid));`;
    expect(await runNode({ source }, { env: scenario.env })).toMatchObject({ code: 0, stdout: '1 true\n' });
    expect(zombieChildrenOf()).toEqual([]);
    expect(openFds().length).toBeGreaterThan(3);
  });

  it('waitUntil fails when its time is over', async () => {
    await expect(waitUntil(() => false, { timeoutMs: 20, what: 'never' })).rejects.toThrow('never');
  });
});

describe('programs', () => {
  it('a seccomp filter denies what it is told, and nothing else', () => {
    const script =
      'import os\ntry:\n os.setsid()\n print("made")\nexcept OSError as e:\n print(e.errno)\nos.setpgid(0, 0)';
    const python = ['python3', '-c', script];
    const run = (...via: string[]) => {
      const [file = '', ...args] = [...via, 'sh', '-c', `"$@" & wait`, 'sh', ...python];
      return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    };
    expect(run(deny, 'setsid:EPERM', '--').trim()).toBe('1');
    expect(run(deny, 'setsid:ENOSYS,clone/pidfd:EINVAL', '--').trim()).toBe('38');
    expect(run(deny, 'pidfd_send_signal/group:EINVAL', '--').trim()).toBe('made');
  });

  it('every verb of the member and of the actor is used by a test', () => {
    const list = (file: string, args: string[]) => execFileSync(file, args, { encoding: 'utf8' }).trim().split('\n');
    const tests = readdirSync(`${root}test`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts') && name !== 'support.test.ts')
      .map((name) => readFileSync(`${root}test/${name}`, 'utf8'))
      .join('\n');
    const used = (verb: string) => [`'${verb}'`, `"${verb}"`, ` ${verb} `].some((form) => tests.includes(form));
    const verbs = [...list(member, ['--verbs']), ...list(process.execPath, [actor, '--verbs'])];
    expect(verbs.length).toBeGreaterThan(10);
    expect(verbs.filter((verb) => !used(verb))).toEqual([]);
  });

  it('an unknown verb fails', async () => {
    expect(() => execFileSync(member, ['nothing'], { stdio: 'ignore' })).toThrow(
      expect.objectContaining({ status: 122 }),
    );
    expect(await runNode(actor, { args: ['nothing'], env: scenario.env })).toMatchObject({ code: 122 });
  });

  it('a subject that hangs is killed, and says so', async () => {
    const run = runNode(
      { source: 'console.log("begin"); setInterval(() => {}, 1000)' },
      { timeoutMs: 700, bare: true },
    );
    await expect(run).rejects.toThrow(/hung for 700 ms.*begin/s);
  });
});
