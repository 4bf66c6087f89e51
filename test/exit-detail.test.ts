import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ProcessGroup, type StateChange, spawn } from '../dist/index.js';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
const start = (...args: string[]) => spawn(member, args, { env: scenario.env, stdio: 'ignore', containment: 'group' });

function turns(count: number): Promise<void> {
  return new Promise((resolve) => setImmediate(() => resolve(count > 1 ? turns(count - 1) : undefined)));
}

describe('G16: the end of the leader', () => {
  it.each([0, 1, 3, 127, 255])('G16: exit code %i', async (code) => {
    const group = await start('exit', String(code));
    expect(await group.exited).toMatchObject({ code, signal: null, coreDumped: false, status: 'exact' });
    expect(await group.gone).toMatchObject({ empty: true, cause: null });
  });

  const harmless = ['SIGCHLD', 'SIGURG', 'SIGWINCH', 'SIGCONT', 'SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'];
  const names = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
  names.set(6, 'SIGABRT').set(29, 'SIGIO').set(31, 'SIGSYS'); // where there are two
  const deadly = Array.from({ length: 31 }, (_, i) => i + 1).filter((n) => !harmless.includes(names.get(n) ?? ''));
  it.each(deadly.map((number) => [number, names.get(number) ?? '']))('G16: signal %i is %s', async (number, name) => {
    const group = await start('die', String(number));
    expect(await group.exited).toMatchObject({ code: null, signal: name, status: 'exact' });
    const sent = await start('sleep');
    sent.signal(name as NodeJS.Signals);
    expect(await sent.exited).toMatchObject({ code: null, signal: name, coreDumped: false });
  });

  it('G16: core dumped, where the limit allows one', async (context) => {
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
    const cwd = mkdtempSync(join(tmpdir(), 'procgroup-core-'));
    scenario.defer(() => rmSync(cwd, { recursive: true }));
    const dump = async (core: number | 'unlimited') => {
      const group = await spawn(member, ['die', '6'], {
        env: scenario.env,
        stdio: 'ignore',
        containment: 'group',
        cwd,
        rlimits: { core },
      });
      return group.exited;
    };
    expect(await dump(0)).toMatchObject({ signal: 'SIGABRT', coreDumped: false });
    expect(readdirSync(cwd)).toEqual([]);
    if (/^[|/]/.test(pattern)) return context.skip('core_pattern names a program or another directory');
    expect(await dump({ soft: 'unlimited', hard: 'unlimited' } as never)).toMatchObject({
      code: null,
      signal: 'SIGABRT',
      coreDumped: true,
    });
    expect(readdirSync(cwd)).toHaveLength(1);
  });

  it('G16: resource usage is that of the leader', async () => {
    const group = await start('use', '120', '24');
    const { resourceUsage } = await group.exited;
    if (resourceUsage === null) throw new Error('no resource usage');
    const cpu = resourceUsage.userCPUTime + resourceUsage.systemCPUTime;
    expect(cpu).toBeGreaterThanOrEqual(110_000);
    expect(cpu).toBeLessThan(2_000_000);
    expect(resourceUsage.maxRSS).toBeGreaterThanOrEqual(24 * 1024);
    // Exec keeps the peak of the memory before it, which was ours.
    const own = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);
    expect(resourceUsage.maxRSS).toBeLessThan(own + 100 * 1024);
    expect(resourceUsage.minorPageFault).toBeGreaterThan(24 * 256 - 1);
    for (const value of Object.values(resourceUsage)) expect(value).toBeGreaterThanOrEqual(0);
  });
});

it("G16: maxRSS is the command's own under tree; under group it is at least ours before exec", async () => {
  const source = `
    const ours = Buffer.alloc(200 << 20, 1);
    const of = async (containment) => {
      const group = await spawn(member, ['exit', '0'], { containment, stdio: 'ignore' });
      const { resourceUsage } = await group.exited;
      await group.gone;
      return resourceUsage.maxRSS / 1024;
    };
    console.log(JSON.stringify([await of('tree'), await of('group'), ours.length]));`;
  const [tree = 0, group = 0] = await runNodeJson<number[]>({ source }, { env: scenario.env });
  expect(tree).toBeGreaterThan(0);
  expect(tree).toBeLessThan(16);
  expect(group).toBeGreaterThan(200);
});

describe('G16: states', () => {
  it('G16: stop and continue are observable', async () => {
    const { group } = await startMember(scenario, ['sleep'], { containment: 'group' });
    const seen: StateChange[] = [];
    group.onStateChange((change) => seen.push(change));
    const next = async (state: string) => {
      const change = await waitUntil(() => seen.find((one) => one.state === state));
      seen.length = 0;
      return change;
    };
    for (const signal of ['SIGSTOP', 'SIGTSTP'] as const) {
      group.signal(signal);
      expect(await next('stopped')).toEqual({ state: 'stopped', signal });
      expect(group.state).toBe('stopped');
      group.signal('SIGCONT');
      await next('continued');
      expect(group.state).toBe('running');
    }
    await group.kill();
    await waitUntil(() => seen.some(({ state }) => state === 'empty'));
    const states = seen.map(({ state }) => state);
    expect(states.filter((state) => state === 'stopped' || state === 'continued')).toEqual([]);
    expect(states.slice(-1)).toEqual(['empty']);
  });

  it('G16: no event in the turn that settles spawn; states replay to a late subscriber', async () => {
    const group = (await start('exit', '5')) as ProcessGroup;
    let early = 0;
    const off = group.onStateChange(() => {
      early += 1;
    });
    expect(early).toBe(0);
    off();
    await group.gone;
    const late: string[] = [];
    group.onStateChange(({ state }) => late.push(state));
    expect(late).toEqual([]);
    await waitUntil(() => late.includes('empty'));
    expect(late.at(-1)).toBe('empty');
    expect(early).toBe(0);
    expect((await group.exited).code).toBe(5);
  });

  it('G16: exited, closed and gone only ever resolve, in the order of events', async () => {
    const order: string[] = [];
    const group = await spawn(member, ['print', '10', '0'], { env: scenario.env, containment: 'group' });
    group.stdout?.resume();
    const all = [
      group.exited.then(() => order.push('exited')),
      group.gone.then(() => order.push('gone')),
      group.closed.then(() => order.push('closed')),
    ];
    await Promise.all(all);
    expect(order).toContain('exited');
    expect(order.indexOf('exited')).toBeLessThan(order.indexOf('gone'));
    await turns(2);
  });
});

it('G16: where SIGCHLD is ignored the kernel reaps: the status is recovered or unknown, never wrong', async () => {
  const source = `
    const look = async (...args) => {
      const group = await spawn(member, args, { stdio: 'ignore', containment: 'group' });
      const { code, signal, status } = await group.exited;
      const report = await group.gone;
      return { code, signal, status, empty: report.empty, pid: group.pid };
    };
    console.log(JSON.stringify([await look('exit', '3'), await look('die', '15')]));`;
  const ends = await runNodeJson<{ code: number | null; signal: string | null; status: string; pid: number }[]>(
    { source },
    // dash and bash keep an ignored SIGCHLD across exec; Node does not touch it until child_process is used.
    { env: scenario.env, via: ['/bin/sh', '-c', 'trap "" CHLD; exec "$@"', 'sh'], timeoutMs: 20_000 },
  );
  const right = [
    { code: 3, signal: null },
    { code: null, signal: 'SIGTERM' },
  ];
  for (const [i, end] of ends.entries()) {
    expect(end).toMatchObject({ empty: true });
    expect(end).toMatchObject(
      end.status === 'unknown' ? { code: null, signal: null } : { status: 'exact', ...right[i] },
    );
    expect(stat(end.pid)).toBeNull();
  }
});
