// T8: an option that nobody knows is a typed error that names it, and the name that was perhaps meant. The drop-in ignores it,
// as Node does.
import { once } from 'node:events';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { spawn as dropIn } from '../dist/child-process.js';
import { sharedHelper } from '../dist/helper.js';
import { attach, output, ProcessGroupError, type SpawnOptions, spawn, sweep } from '../dist/index.js';
import { ProcessScope } from '../dist/scope.js';
import { supervise } from '../dist/supervise.js';
import { runWorkload, WorkloadPool } from '../dist/workload.js';
import { member } from './support/paths.mjs';
import { type Footprint, footprint, useScenario } from './support/scenario.js';

const scenario = useScenario();
// biome-ignore lint/suspicious/noExplicitAny: the calls are wrong by design
type Any = any;

let before: Footprint;
// The engine runs, for the drop-in too.
beforeAll(async () => {
  await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
  const child = dropIn(member, ['exit', '0'], { stdio: 'ignore' });
  await once(child, 'exit');
  await child.stop();
});
beforeEach(() => {
  before = footprint();
});
afterEach(() => {
  expect(footprint()).toEqual(before);
  expect(scenario.alive()).toEqual([]);
});

/** What `call` throws, or rejects with. */
async function refusal(call: () => Any): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

const inSpawn = (options: Any) => () => spawn(member, ['sleep'], { env: scenario.env, ...options });
const inSupervise = (options: Any) => () => supervise(member, ['sleep'], { env: scenario.env, ...options });
const module = new URL('data:text/javascript,export default () => 1');
const helper = (options: Any) => () => sharedHelper(`unknown ${Math.random()}`, { file: member, ...options });
const beat = () => true;

const calls: [name: string, call: () => Any, option: string, meant: string | null][] = [
  ['spawn: Node has another name', inSpawn({ timeout: 1 }), 'options.timeout', 'timeoutMs'],
  ['spawn: letters swapped', inSpawn({ contianment: 'tree' }), 'options.contianment', 'containment'],
  ['spawn: another case', inSpawn({ oomscoreadj: 1 }), 'options.oomscoreadj', 'oomScoreAdj'],
  ['spawn: a letter too many', inSpawn({ signals: null }), 'options.signals', 'signal'],
  ['spawn: nothing is near', inSpawn({ detached: true }), 'options.detached', null],
  ['spawn: a name of Object.prototype', inSpawn({ toString: 1 }), 'options.toString', null],
  ['spawn: strongest', inSpawn({ containment: 'strongest', nicee: 1 }), 'options.nicee', 'nice'],
  [
    'spawn: a step',
    inSpawn({ teardown: [{ signal: 'SIGTERM', graceMs: 1, garce: 1 }] }),
    'options.teardown[0].garce',
    null,
  ],
  ['spawn: a file', inSpawn({ stdio: [{ file: '/dev/null', mod: 1 }] }), 'options.stdio[0].mod', 'mode'],
  [
    'spawn: the killer',
    inSpawn({ privilegedKiller: { command: ['kill'], timeout: 1 } }),
    'options.privilegedKiller.timeout',
    'timeoutMs',
  ],
  [
    'spawn: a limit of a cgroup',
    inSpawn({ containment: 'cgroup', cgroup: { memoryMax: 1 } }),
    'options.cgroup.memoryMax',
    null,
  ],
  ['output', () => output(member, ['sleep'], { maxBuffer: 1 } as Any), 'options.maxBuffer', null],
  ['output: no args', () => output(member, { maxByte: 1 } as Any), 'options.maxByte', 'maxBytes'],
  ['attach', () => attach(1 << 22, { teardwon: [] } as Any), 'options.teardwon', 'teardown'],
  ['sweep', () => sweep({ mod: 'list' } as Any), 'options.mod', 'mode'],
  ['scope', () => new ProcessScope({ deadline: 1 } as Any), 'options.deadline', 'deadlineMs'],
  ['scope: run', () => ProcessScope.run(() => 1, { nmae: 'x' } as Any), 'options.nmae', 'name'],
  [
    'scope: its spawn',
    () => ProcessScope.run((scope) => scope.spawn(member, ['sleep'], { timeout: 1 } as Any)),
    'options.timeout',
    'timeoutMs',
  ],
  ['supervise', inSupervise({ leese: { beat, leaseMs: 1 } }), 'options.leese', 'lease'],
  ['supervise: of spawn', inSupervise({ isolaton: 'group' }), 'options.isolaton', 'isolation'],
  [
    'supervise: the lease',
    inSupervise({ lease: { beat, leaseMs: 1000, interval: 1 } }),
    'options.lease.interval',
    'intervalMs',
  ],
  ['supervise: restarts', inSupervise({ restart: { retries: 3 } }), 'options.restart.retries', null],
  ['supervise: readiness', inSupervise({ ready: { lines: 'x', port: 1 } }), 'options.ready.lines', 'line'],
  ['helper', helper({ idle: 1 }), 'definition.idle', 'idleMs'],
  ['helper: of spawn', helper({ spawn: { timeout: 1 } }), 'definition.spawn.timeout', 'timeoutMs'],
  ['workload', () => runWorkload(module, 1, { timeout: 1 } as Any), 'options.timeout', 'timeoutMs'],
  ['workload: not for it', () => runWorkload(module, 1, { shell: true } as Any), 'options.shell', null],
  ['workload: a pool', () => new WorkloadPool({ sizes: 1 } as Any), 'options.sizes', 'size'],
];

it.each(calls)('T8: %s', async (_name, call, option, meant) => {
  const error = (await refusal(call)) as ProcessGroupError;
  expect(error).toBeInstanceOf(ProcessGroupError);
  expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE', stage: 'validate' });
  expect(error.message).toContain(`'${option}' is no known option`);
  expect(/did you mean '([^']*)'/.exec(error.message)?.[1] ?? null).toBe(meant);
});

it('T8: one that is undefined is none, and what a prototype has is not looked at', async () => {
  const options: SpawnOptions = Object.create({ timeout: 1 });
  Object.assign(options, { env: scenario.env, stdio: 'ignore', detached: undefined });
  const group = await spawn(member, ['exit', '3'], options);
  expect((await group.exited).code).toBe(3);
  await group.gone;
});

it('the drop-in ignores what it does not know, with containment too', async () => {
  for (const options of [{}, { containment: 'tree' }]) {
    const child = dropIn(member, ['exit', '4'], { env: scenario.env, stdio: 'ignore', tiemout: 1, ...options } as Any);
    expect(await once(child, 'exit')).toEqual([4, null]);
    await child.stop();
  }
});
