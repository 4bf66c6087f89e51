// T8: an option that nobody knows is a typed error that names it, and the name that was perhaps meant. The drop-in ignores it,
// as Node does.
import { once } from 'node:events';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { spawn as dropIn } from '../dist/child-process.js';
import { sharedHelper } from '../dist/helper.js';
import { attach, output, ProcessGroupError, type SpawnOptions, spawn, sweep } from '../dist/index.js';
import { ProcessScope } from '../dist/scope.js';
import { supervise } from '../dist/supervise.js';
import { runWorkload, WorkloadPool } from '../dist/workload.js';
import { dist, member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
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

it('T8: one that is undefined is none', async () => {
  const options = { env: scenario.env, stdio: 'ignore', detached: undefined } as const;
  const group = await spawn(member, ['exit', '3'], options);
  expect((await group.exited).code).toBe(3);
  await group.gone;
});

class Placed {
  get containment() {
    return 'group';
  }
  get cwd() {
    return '/';
  }
}
function taken(..._: string[]): Any {
  // biome-ignore lint/complexity/noArguments: what is meant
  return arguments;
}
const odd: [name: string, make: () => Any][] = [
  ['an instance, with getters of its class', () => new Placed()],
  ['what inherits from another object', () => Object.create({ containment: 'group' })],
  ['a Set', () => new Set(['exit', '0'])],
  ['a Map', () => new Map([['cwd', '/']])],
  ['an iterator', () => ['exit', '0'].values()],
  ['arguments', () => taken('exit', '0')],
];
const entries: [name: string, take: (options: Any) => Any][] = [
  ['spawn', (options) => spawn(member, options)],
  ['spawn, third', (options) => spawn(member, ['sleep'], options)],
  ['output', (options) => output(member, options)],
  ['attach', (options) => attach(1 << 22, options)],
  ['sweep', (options) => sweep(options)],
  ['scope', (options) => new ProcessScope(options)],
  ['scope: its spawn', (options) => ProcessScope.run((scope) => scope.spawn(member, options))],
  ['supervise', (options) => supervise(member, ['sleep'], options)],
  ['helper', (options) => sharedHelper('odd', options)],
  ['helper: of spawn', (options) => sharedHelper('odd', { file: member, spawn: options })],
  ['workload', (options) => runWorkload(module, 1, options)],
  ['workload: a pool', (options) => new WorkloadPool(options)],
  ['workload: a run of a pool', (options) => new WorkloadPool().run(module, 1, options)],
];

it.each(entries)('T8: %s: options that are no plain object are refused', async (_name, take) => {
  for (const [name, make] of odd) {
    expect(await refusal(() => take(make())), name).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE', stage: 'validate' });
  }
});

it('T8: a plain object of another realm, one without a prototype, getters of its own', async () => {
  const code = async (options: SpawnOptions) => (await output(member, ['exit', '3'], options)).code;
  const foreign = runInNewContext('({ stdio: ["ignore", "pipe", "ignore"], rlimits: { core: 0 } })');
  expect(await code({ ...foreign, env: scenario.env })).toBe(3);
  expect(await code(Object.assign(foreign, { env: scenario.env }))).toBe(3);
  expect(await code(Object.assign(Object.create(null), { env: scenario.env }))).toBe(3);
  let reads = 0;
  const own = {
    get env() {
      reads++;
      return scenario.env;
    },
  };
  expect([await code(own), reads]).toEqual([3, 1]);
});

it('T8: a tampered Object.prototype gives nothing to options', async () => {
  const source = `
    const { supervise } = await import(${JSON.stringify(`${dist}supervise.js`)});
    const { sharedHelper } = await import(${JSON.stringify(`${dist}helper.js`)});
    const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
    const { runWorkload } = await import(${JSON.stringify(`${dist}workload.js`)});
    const words = { shell: '/bin/echo', argv0: 'x', file: '/no/such', containment: 'leader', cwd: '/no/such', maxBytes: 0, soft: 1, tailChars: 0, lease: 1 };
    for (const [name, value] of Object.entries(words)) Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true });
    const stdio = ['ignore', nodeFs.createWriteStream('', { fd: nodeFs.openSync('/dev/null', 'w') }), 'ignore'];
    const said = [(await output('echo', ['a'])).stdout, (await output('echo', { stdio })).code];
    const group = await ProcessScope.run((scope) => scope.spawn('sh', ['-c', 'exit 3'], { stdio }));
    said.push(group.mechanism.containment, (await supervise('echo', ['b'], { rlimits: { core: 0 } }).outcome).output.stdout);
    const helper = sharedHelper('one', { file: '/bin/sleep', args: ['60'] });
    said.push(await helper.use((one) => one.mechanism.containment));
    await helper.close();
    said.push(await runWorkload('data:text/javascript,export default (n) => n + 1', 1, {}));
    for (const name of Object.keys(words)) delete Object.prototype[name];
    console.log(JSON.stringify(said));`;
  expect(await runNodeJson({ source }, { env: scenario.env })).toEqual(['a\n', 0, 'tree', 'b\n', 'tree', 2]);
});

it('the drop-in ignores what it does not know, with containment too', async () => {
  for (const options of [{}, { containment: 'tree' }]) {
    const child = dropIn(member, ['exit', '4'], { env: scenario.env, stdio: 'ignore', tiemout: 1, ...options } as Any);
    expect(await once(child, 'exit')).toEqual([4, null]);
    await child.stop();
  }
});
