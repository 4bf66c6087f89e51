import { describe, expect, it } from 'vitest';
import { deny } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

interface Run {
  mechanism: { spawn: string; exitNotice: string; groupSignal: string };
  exit: unknown;
  report: { empty: boolean; steps: { signal: string }[] };
  failed: string;
  zombies: number[];
  alive: number;
}

// A whole life: a failing spawn, one whose leader ends before a member that has to be killed, and the look afterwards.
const source = `
  const mark = oracle.newMark();
  const env = { ...process.env, ...mark.env };
  const failed = await spawn('/nowhere').catch((error) => error.code + ' ' + error.stage);
  const group = await spawn(member, ['-r', '3', 'grandchild-ignores-term'], {
    env, containment: 'group', stdio: ['ignore', 'ignore', 'ignore', 'pipe'], teardown: [{ signal: 'SIGTERM', graceMs: 50 }]
  });
  await readReady(group.stdio[3]);
  const report = await group.stop();
  const exit = await group.exited;
  console.log(JSON.stringify({
    failed, mechanism: group.mechanism, report, exit,
    zombies: oracle.zombieChildrenOf(), alive: oracle.alive(mark.id).length,
  }));`;

const run = (denied: string | null) =>
  runNodeJson<Run>(
    { source },
    { env: { ...scenario.env, PROCGROUP_TEST_DISABLE: '' }, via: denied ? [deny, denied, '--'] : [] },
  );

function wellBehaved(one: Run): void {
  expect(one).toMatchObject({ zombies: [], alive: 0, exit: { code: 0, signal: null, status: 'exact' } });
  expect(one.failed).toMatch(/^ENOENT /);
  expect(one.report).toMatchObject({ empty: true, survivors: [] });
  expect(one.report.steps.map(({ signal }) => signal).filter((signal) => signal !== 'SIGCONT')).toEqual([
    'SIGTERM',
    'SIGKILL',
  ]);
}

// A filter denies what the kernel's version promises: only a real call tells.
describe.each(['EPERM', 'ENOSYS', 'EINVAL'])('calls that fail with %s', (errno) => {
  it.each<[string, string[], Partial<Run['mechanism']>]>([
    ['clone3', ['clone3'], { spawn: 'clone' }],
    [
      'the group flag of pidfd_send_signal',
      ['pidfd_send_signal/group'],
      { groupSignal: 'zombie-pin', exitNotice: 'pidfd' },
    ],
    ['pidfd_send_signal', ['pidfd_send_signal'], { groupSignal: 'zombie-pin' }],
    ['close_range', ['close_range'], {}],
    ['close_range with CLOSE_RANGE_UNSHARE', ['close_range/unshare'], {}],
    ['CLONE_PIDFD in clone, and clone3', ['clone3', 'clone/pidfd'], {}],
    ['waitid on a pidfd', ['waitid/pidfd'], {}],
    ['pidfd_open', ['pidfd_open'], {}],
    [
      'every pidfd call',
      ['clone3', 'clone/pidfd', 'pidfd_open', 'pidfd_send_signal', 'waitid/pidfd'],
      { exitNotice: 'waitid', groupSignal: 'zombie-pin' },
    ],
    [
      'everything at once',
      ['clone3', 'clone/pidfd', 'pidfd_open', 'pidfd_send_signal', 'waitid/pidfd', 'close_range'],
      { exitNotice: 'waitid', groupSignal: 'zombie-pin' },
    ],
  ])('without %s', async (_name, calls, mechanism) => {
    // pthread_create takes only ENOSYS of clone3 for "not there".
    const denied = calls.map((call) => `${call}:${call === 'clone3' ? 'ENOSYS' : errno}`).join(',');
    const one = await run(denied);
    wellBehaved(one);
    expect(one.mechanism).toMatchObject(mechanism);
  });
});

it('control: without a filter the same scenario uses what the kernel has', async () => {
  const one = await run(null);
  wellBehaved(one);
  expect(one.mechanism.exitNotice).toBe('pidfd');
});
