// C1 and C2: the guardian alone as PID 1 of a PID namespace, beside tini and dumb-init.
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { finish } from './support/cli.js';
import {
  collect,
  guardian,
  INITS,
  isInstalled,
  outerPid,
  ready,
  startInit,
  start as startPlain,
  whyNoPidNamespace,
} from './support/guardian-cli.js';
import { whyNoGroupPidfd } from './support/kernel.js';
import { stat, waitUntil, zombieChildrenOf } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const signals = constants.signals;
const ALL = Array.from({ length: 31 }, (_, at) => at + 1);
const UNCATCHABLE = [signals.SIGKILL, signals.SIGSTOP];
const HARMLESS = [signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH];
const STOPS = [signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU];

const start = (init: readonly string[], ...command: string[]) =>
  startInit([...init, ...command], { env: scenario.env });
const run = (init: readonly string[], ...command: string[]) => finish(start(init, ...command));

describe.skipIf(whyNoPidNamespace() !== '').each(Object.entries(INITS).filter(([name]) => isInstalled(name)))(
  'as PID 1, %s',
  (name, init) => {
    const own = name === 'procgroup-guardian';

    it('C2: passes on how the command ended, by each of the 31 signals and by code', async () => {
      const endings = ALL.filter((number) => ![...HARMLESS, ...STOPS, signals.SIGSTOP].includes(number));
      const seen: Record<number, number | null> = {};
      // No core file of a member is wanted.
      for (const number of endings) {
        seen[number] = (await run(init, 'sh', '-c', `ulimit -c 0; exec ${member} die ${number}`)).code;
      }
      expect(seen).toEqual(Object.fromEntries(endings.map((number) => [number, 128 + number])));
      for (const number of HARMLESS) expect((await run(init, member, 'die', String(number))).code).toBe(121);
      for (const code of [0, 1, 42, 125, 255]) expect((await run(init, member, 'exit', String(code))).code).toBe(code);
    });

    it('C2: forwards', async () => {
      const child = start(init, member, 'report-every-signal');
      await ready(child);
      const shown = collect(child);
      const pid = await outerPid(child);
      // Higher than the signals before it, so that it arrives after them; a command may see each of them twice.
      const fence = signals.SIGPWR;
      // dumb-init hands stop signals on as SIGSTOP.
      const left = [...UNCATCHABLE, signals.SIGCHLD, ...(name === 'dumb-init' ? STOPS : [])];
      const sent = ALL.filter((number) => number < fence && !left.includes(number));
      const forwarded: number[] = [];
      let fences = 0;
      for (const number of sent) {
        process.kill(pid, number);
        process.kill(pid, fence);
        fences++;
        await waitUntil(() => shown().includes(`got ${fence} ${fences}\n`) || null, {
          what: `the fence after ${number}`,
        });
        if (shown().includes(`got ${number} 1\n`)) forwarded.push(number);
      }
      const always = [
        signals.SIGHUP,
        signals.SIGINT,
        signals.SIGQUIT,
        signals.SIGUSR1,
        signals.SIGUSR2,
        signals.SIGTERM,
      ];
      expect(forwarded).toEqual(expect.arrayContaining(always));
      if (own) {
        expect(forwarded).toEqual(sent);
        expect(shown().match(/got/g), 'each of them once').toHaveLength(sent.length + fences);
        for (const number of [signals.SIGSYS, 35, 40, 64]) {
          process.kill(pid, number);
          await waitUntil(() => shown().includes(`got ${number} 1\n`) || null, { what: `signal ${number}` });
        }
      }
      process.kill(pid, 'SIGKILL');
      await finish(child);
    });

    it('C2: reaps what is orphaned, and ends by SIGTERM', async () => {
      // The orphans end when the fifo's writer, the test's stdin, says so.
      const orphans = 'for i in 1 2 3 4 5 6 7 8; do (sh -c "read -r line" & ); done; echo "ready {}"; exec sleep 1000';
      const child = start(init, 'sh', '-c', `exec 3<&0; ${orphans.replace('read -r line', 'read -r line <&3')}`);
      await ready(child);
      const pid = await outerPid(child);
      await waitUntil(() => scenario.alive().filter((live) => stat(live.pid)?.ppid === pid).length === 9 || null, {
        what: 'eight orphans and the command',
      });
      // Control: while PID 1 cannot run, the oracle sees them.
      process.kill(pid, 'SIGSTOP');
      child.stdin?.end();
      await waitUntil(() => zombieChildrenOf(pid).length === 8 || null, { what: 'eight zombies' });
      process.kill(pid, 'SIGCONT');
      await waitUntil(() => zombieChildrenOf(pid).length === 0 || null, { what: 'no zombie' });
      process.kill(pid, 'SIGTERM');
      expect(await finish(child)).toMatchObject({ code: 128 + 15, stderr: '' });
    });
  },
);

describe.skipIf(whyNoPidNamespace() !== '')('as PID 1', () => {
  it('C2: the guardian ends what the command leaves behind by the ladder', async () => {
    const child = startInit([guardian, '--teardown', 'TERM:50ms', member, 'leader-exits-first'], { env: scenario.env });
    const begin = performance.now();
    await ready(child);
    expect((await finish(child)).code).toBe(0);
    expect(performance.now() - begin).toBeGreaterThan(50);
    expect(scenario.alive()).toEqual([]);
  });

  const HIDDEN = [
    ['the outer one', 'umount -l /proc'],
    ['none', 'umount -l /proc; umount -l /proc 2>/dev/null'],
  ];

  const older = whyNoGroupPidfd();
  if (older) process.stderr.write(`guardian-cli-init, a hidden /proc: skipped, ${older}\n`);
  // Before that kernel nothing pins the number of a group whose leader was reaped, and nobody else is seen.
  it.skipIf(older).each(HIDDEN)(
    'C2: and where /proc is not its own but %s, the guardian forwards and ends the group',
    async (_, hide) => {
      const hidden = ['sh', '-c', `${hide}; exec "$@"`, 'sh', guardian];
      const args = ['--report', '/dev/stdout', '--teardown', 'TERM:50ms', '--', member, 'leader-exits-first'];
      const left = await finish(startInit([...hidden, ...args], { env: scenario.env }));
      expect(left.code).toBe(0);
      expect(JSON.parse(left.stdout.split('\n')[1] ?? '')).toMatchObject({
        empty: true,
        evidence: 'echild',
        steps: [{ signal: 'SIGTERM' }, { signal: 'SIGKILL' }],
      });
      const child = startInit([...hidden, member, 'sleep'], { env: scenario.env });
      await ready(child);
      process.kill(await outerPid(child), 'SIGTERM');
      const { code, stderr } = await finish(child);
      // A sanitizer has something to say about a missing /proc.
      expect({ code, stderr: process.env.PROCGROUP_TEST_GUARDIAN ? '' : stderr }).toEqual({
        code: 128 + 15,
        stderr: '',
      });
    },
  );
});

it.skipIf(whyNoPidNamespace() !== '')(
  'beside a new PID namespace, the command in it: unshare --pid without --fork',
  async () => {
    const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
    const child = startPlain(['unshare', ...user, '--pid', guardian, 'sh', '-c', 'echo $$; exit 3'], {
      env: scenario.env,
    });
    expect(await finish(child)).toMatchObject({ code: 3, stdout: '1\n', stderr: '' });
  },
);
