// H6: what lives is told: who, where it was started, how long ago, how big. H1: to define a helper or a scope costs nothing.
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { helpers, report, reportOn, sharedHelper } from '../dist/helper.js';
import { define, helperPrelude } from './support/helpers.js';
import { waitUntil } from './support/oracle.js';
import { dist, root } from './support/paths.mjs';
import { runNode, runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const here = /at .*shared-helper-report\.test\.ts:\d+/;

function definedHere(args: string[], more = {}) {
  const helper = sharedHelper(scenario.id, { ...define(scenario, args), ...more });
  scenario.defer(() => helper.close());
  return helper;
}

it.each(['tree', 'group'] as const)('H6: who, where, age, memory, pgid, mechanism: %s', async (containment) => {
  const { spawn } = define(scenario);
  const helper = definedHere(['wide', '3'], { spawn: { ...spawn, containment } });
  expect(helpers(), 'defined, not started').toEqual([]);
  expect(report()).toBe(`procgroup: living helpers of process ${process.pid}: 0\n`);

  const firstUse = () => helper.acquire();
  const lease = await firstUse();
  const [info, ...others] = helpers();
  expect(others).toEqual([]);
  expect(info).toMatchObject({
    key: scenario.id,
    state: 'busy',
    command: [expect.stringContaining('member'), '-r', '3', 'wide', '3'],
    pid: lease.group.pid,
    pgid: lease.group.pgid,
    mechanism: lease.group.mechanism,
    processes: 4,
    definedAt: expect.stringMatching(/definedHere.*\n.*shared-helper-report/),
    startedAt: expect.stringContaining('firstUse'),
    users: [expect.stringContaining('firstUse')],
  });
  expect(info?.startedAt).toMatch(here);
  expect(info?.definedAt).not.toContain('sharedHelper');
  expect(info?.memoryBytes).toBeGreaterThan(4 * 4_096);
  expect(info?.memoryBytes).toBeLessThan(64 * 2 ** 20);
  const ageMs = info?.ageMs ?? 0;
  await waitUntil(() => (helpers()[0]?.ageMs ?? 0) > ageMs + 100);

  const text = report();
  expect(text).toContain(`procgroup: living helpers of process ${process.pid}: 1\n`);
  expect(text).toMatch(
    new RegExp(`'${scenario.id}', busy: pid ${lease.group.pid}, pgid ${lease.group.pgid}, ${containment}`),
  );
  expect(text).toMatch(/0\.\d s old, processes: 4, \d+\.\d MiB/);
  for (const what of ['defined', 'started', 'used']) expect(text).toMatch(new RegExp(`${what}\n +${here.source}`));
  lease.release();
  expect(report()).toContain("', idle: pid ");
  expect(report()).not.toContain('used');
  await helper.close();
  expect(helpers()).toEqual([]);
});

it('H6: also what is on its way up or down is told', async () => {
  const { spawn } = define(scenario);
  const stubborn = { spawn: { ...spawn, teardown: [{ signal: 'SIGTERM', graceMs: 300 }] } } as const;
  const helper = definedHere(['ignore-term'], { ...stubborn, idleMs: 0 });
  const lease = helper.acquire();
  expect(helpers()).toMatchObject([
    { state: 'starting', pid: null, pgid: null, mechanism: null, ageMs: 0, users: [{}] },
  ]);
  expect(report()).toContain("', starting: no process yet");
  const { group, release, signal } = await lease;
  const stopping = new Promise((resolve) => signal.addEventListener('abort', resolve));
  release();
  await stopping;
  const next = helper.acquire();
  expect(helpers()).toMatchObject([
    { state: 'stopping', pid: group.pid },
    { state: 'starting', pid: null },
  ]);
  (await next).release();
});

const used = `${helperPrelude}
  const helper = sharedHelper('reader', define('sleep'));
  const { pid } = await helper.use((value) => value);`;

it('H6: PROCGROUP_REPORT=1: printed at the exit, with what lives then', async () => {
  const subject = { source: `${used} console.log(pid);` };
  const run = await runNode(subject, { env: { ...scenario.env, PROCGROUP_REPORT: '1' } });
  expect(run.code).toBe(0);
  expect(run.stderr).toMatch(
    new RegExp(`^procgroup: living helpers of process ${run.pid}: 1\n  'reader', idle: pid ${run.stdout.trim()}`),
  );
  expect(scenario.alive()).toEqual([]);
  // Once, also where the process ends in its exit handler; and the exit code is its own.
  const ending = {
    source: `${used} await helper.close(); process.on('exit', () => process.exit(9)); process.exit(3);`,
  };
  const other = await runNode(ending, { env: { ...scenario.env, PROCGROUP_REPORT: '1' } });
  expect([other.code, other.stderr]).toEqual([9, `procgroup: living helpers of process ${other.pid}: 0\n`]);
});

it('H6: PROCGROUP_REPORT=1 with a stderr that nobody reads disturbs nothing', async () => {
  const node = startNode({ source: `${used} process.exit(4);` }, { env: { ...scenario.env, PROCGROUP_REPORT: '1' } });
  node.stdout?.resume();
  node.stderr?.destroy();
  expect((await once(node, 'exit'))[0]).toBe(4);
});

it('H6: control: without it nothing is printed', async () => {
  expect(await runNode({ source: used }, { env: scenario.env })).toMatchObject({ code: 0, stderr: '' });
});

it('H6: on a signal, where asked for', async () => {
  const source = `${used}
    const off = reportOn();
    process.on('SIGUSR2', () => {});
    const keep = setInterval(() => {}, 1e6);
    process.kill(process.pid, 'SIGUSR2');
    await new Promise((resolve) => process.once('SIGUSR2', resolve));
    off();
    process.kill(process.pid, 'SIGUSR2');
    await new Promise((resolve) => process.once('SIGUSR2', resolve));
    clearInterval(keep);
    console.log(process.listenerCount('SIGUSR2'));`;
  const run = await runNode({ source }, { env: scenario.env });
  expect([run.code, run.stdout]).toEqual([0, '1\n']);
  expect(run.stderr.match(/living helpers/g)).toHaveLength(1);
  expect(run.stderr).toContain("'reader', idle");
  for (const bad of ['SIGTERM', 'SIGKILL', '']) {
    expect(() => reportOn(bad as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
  }
  expect(() => reportOn(12 as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
});

interface Seen {
  threads: number;
  fds: string[];
  children: number;
  listeners: string[];
}

it('H1: import, construct, read metadata: 0 processes, 0 threads, 0 descriptors, 0 listeners', async () => {
  const source = `
    import * as oracle from ${JSON.stringify(`${root}test/support/oracle.mjs`)};
    import { stat } from 'node:fs/promises';
    import { createRequire } from 'node:module';
    // Node's own thread pool starts with the first file that is read.
    await Promise.all(Array.from({ length: 8 }, () => stat('.')));
    const look = () => ({
      threads: oracle.threads().length,
      fds: oracle.openFds().map(({ fd, target }) => fd + ' ' + target.replace(/\\[\\d+\\]/, '')),
      children: oracle.childrenOf().length,
      listeners: process.eventNames().map((name) => String(name) + ' ' + process.listenerCount(name)),
    });
    await import('data:text/javascript,');
    const before = look();
    const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
    const { sharedHelper, helpers, report } = await import(${JSON.stringify(`${dist}helper.js`)});
    const scope = new ProcessScope({ name: 'x', signal: new AbortController().signal });
    const helper = sharedHelper('x', { file: 'true', owner: scope });
    const read = [scope.name, scope.report, scope.signal.aborted, helper.key, helpers(), report()];
    const between = look();
    await ProcessScope.run(() => {}, { parent: scope });
    await helper.close();
    await scope.end();
    const after = look();
    const require = createRequire(${JSON.stringify(`${root}package.json`)});
    if (process.features.require_module) require('procgroup/scope'), require('procgroup/helper');
    const lease = await sharedHelper('x', { file: 'sleep', args: ['60'] }).acquire();
    console.log(JSON.stringify({ before, between, after, used: look() }));
    await lease.group.kill();`;
  type Answer = Record<'before' | 'between' | 'after' | 'used', Seen>;
  const { before, between, after, used } = await runNodeJson<Answer>({ source }, { env: scenario.env, bare: true });
  expect(between).toEqual(before);
  expect(after).toEqual(before);
  expect(used.children, 'control: the first use does start something').toBe(before.children + 1);
  expect(used.threads).toBeGreaterThan(before.threads);
});
