import { expect, it } from 'vitest';
import { deny } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface Outcome {
  error: { name: string; code: string; errno: number; syscall: string; stage: string } | null;
  before: { fds: string[]; threads: number; zombies: number[]; children: number[] };
  after: { fds: string[]; threads: number; zombies: number[]; children: number[] };
  signals: string[];
  siblingAlive: boolean;
  survivors: number;
}

// A supervisor with a sibling in its own group, and a child in a group of its own. Its second spawn is the measured one:
// the first has loaded the engine and started its threads.
function subject(options: string): { source: string } {
  return {
    source: `
    const signals = [];
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGCONT', 'SIGUSR2']) process.on(name, () => signals.push(name));
    const sibling = nodeProcess.spawn(member, ['sleep'], { stdio: 'ignore' });
    await output(member, ['exit', '0'], { isolation: 'inherit', containment: 'leader' });
    const look = () => ({
      fds: oracle.openFds().map(({ fd, target }) => fd + ' ' + target.replace(/\\[\\d+\\]/, '')),
      threads: oracle.steadyThreads(),
      zombies: oracle.zombieChildrenOf(),
      children: oracle.childrenOf(),
    });
    const before = look();
    const mark = oracle.newMark();
    const error = await spawn(member, ['ignore-term'], { containment: 'group', ...${options}, env: { ...process.env, ...mark.env } }).then(
      () => null,
      ({ name, code, errno, syscall, stage }) => ({ name, code, errno, syscall, stage }),
    );
    const after = look();
    await new Promise((resolve) => setImmediate(resolve));
    const survivors = oracle.killMarked(mark.id).length;
    const siblingAlive = !oracle.isDead(sibling.pid);
    sibling.kill('SIGKILL');
    sibling.once('exit', () => {
      console.log(JSON.stringify({ error, before, after, signals, siblingAlive, survivors }));
    });`,
  };
}

for (const [isolation, call] of [
  ['session', 'setsid'],
  ['group', 'setpgid'],
] as const) {
  // EDQUOT: libuv has no name for it.
  for (const [code, errno] of [
    ['EPERM', -1],
    ['EACCES', -13],
    ['EDQUOT', -122],
  ] as const) {
    it(`G1: ${call} fails with ${code}: spawn rejects, nothing is left, the supervisor and its sibling live`, async () => {
      const outcome = await runNodeJson<Outcome>(subject(`{ isolation: '${isolation}' }`), {
        via: [deny, `${call}:${code}`, '--'],
        env: scenario.env,
      });
      expect(outcome.error).toEqual({ name: 'SpawnError', code, errno, syscall: call, stage: call });
      expect(outcome.after).toEqual(outcome.before);
      expect(outcome).toMatchObject({ signals: [], siblingAlive: true, survivors: 0 });
    });
  }

  it(`G1: control: with a working ${call} the same spawn leaves a member, and the oracle finds it`, async () => {
    const outcome = await runNodeJson<Outcome>(subject(`{ isolation: '${isolation}' }`), { env: scenario.env });
    expect(outcome).toMatchObject({ error: null, siblingAlive: true, survivors: 1 });
    expect(outcome.after.children.length).toBe(outcome.before.children.length + 1);
  });
}

it('G1: a parent-death signal that cannot be armed is an error, not a silent downgrade', async () => {
  const outcome = await runNodeJson<Outcome>(subject(`{ isolation: 'group' }`), {
    via: [deny, 'prctl/pdeathsig:EPERM', '--'],
    env: scenario.env,
  });
  expect(outcome.error).toMatchObject({ name: 'SpawnError', code: 'EPERM', syscall: 'prctl' });
  expect(outcome.after).toEqual(outcome.before);
  expect(outcome.survivors).toBe(0);
});
