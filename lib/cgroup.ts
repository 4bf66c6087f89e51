import { fs } from './builtins.js';
import type { CgroupOptions, CgroupUsage, LimitName } from './cgroup-types.js';
import { ProcessGroupError, SpawnError } from './errors.js';
import { onlyKnown } from './known-options.js';
import { integer, invalidType, invalidValue, oneOf, outOfRange, path, record, text } from './validate.js';

/** File and value in turn, and where the leaf goes ('': found by the engine). */
export interface CgroupPlan {
  parent: string;
  limits: readonly string[];
  moveSupervisor: boolean;
}

/** As Engine.spawn() takes it. */
export const nativeCgroup = ({ parent, limits, moveSupervisor }: CgroupPlan) =>
  [parent, limits.join('\0'), moveSupervisor] as const;

const CPU_PERIOD_US = 100_000;

function cores(value: unknown): string {
  const name = 'options.cgroup.cpuMaxCores';
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!(value >= 0.01 && value <= 1e6)) throw outOfRange(name, '>= 0.01 && <= 1000000', value);
  return `${Math.round(value * CPU_PERIOD_US)} ${CPU_PERIOD_US}`;
}

const whole = (low: number, high: number) => (value: unknown, name: string) =>
  String(integer(`options.cgroup.${name}`, value, low, high));
const bytes = whole(0, Number.MAX_SAFE_INTEGER);
const weight = whole(1, 10_000);

/** In the order in which they are written. */
const LIMITS: { [K in keyof CgroupOptions]?: [file: string, write: (value: unknown, name: string) => string] } = {
  memorySwapMaxBytes: ['memory.swap.max', bytes],
  memoryHighBytes: ['memory.high', bytes],
  memoryMaxBytes: ['memory.max', bytes],
  pidsMax: ['pids.max', whole(0, 0x3fffff)],
  cpuMaxCores: ['cpu.max', cores],
  cpuWeight: ['cpu.weight', weight],
  ioWeight: ['io.weight', (value, name) => `default ${weight(value, name)}`],
};

export function planCgroup(value: unknown): CgroupPlan {
  if (value === undefined) return { parent: '', limits: [], moveSupervisor: false };
  const options = record('options.cgroup', value);
  const limits: string[] = [];
  onlyKnown('options.cgroup', options, { ...LIMITS, parent: true, files: true, supervisor: true });
  for (const [name, [file, write]] of Object.entries(LIMITS)) {
    if (options[name] !== undefined) limits.push(file, write(options[name], name));
  }
  for (const [file, line] of Object.entries(
    options.files === undefined ? {} : record('options.cgroup.files', options.files),
  )) {
    if (!/^[\w-]+(\.[\w-]+)+$/.test(file))
      throw invalidValue('options.cgroup.files', 'has a name that is no file of a cgroup', file);
    // The others of these move processes, the guardian itself among them, or are the containment's own.
    if (/^cgroup\.(?!max\.)/.test(file))
      throw invalidValue('options.cgroup.files', 'has the name of a file that is no limit', file);
    limits.push(file, text(`options.cgroup.files['${file}']`, line));
  }
  const parent = options.parent === undefined ? '' : path('options.cgroup.parent', options.parent);
  if (parent !== '' && !parent.startsWith('/'))
    throw invalidValue('options.cgroup.parent', 'must be an absolute path', parent);
  const move = oneOf('options.cgroup.supervisor', options.supervisor, ['stay', 'move'] as const, 'stay') === 'move';
  return { parent, limits, moveSupervisor: move && parent === '' && limits.length > 0 };
}

/** Why a leaf could not be made or set up, in words that say what to change. */
export function cgroupFailure(
  program: string,
  plan: CgroupPlan,
  failure: { code: string; errno: number; syscall: string; index: number; leaf: string },
): SpawnError {
  const { code, errno, syscall, index, leaf } = failure;
  const file = plan.limits[index * 2] ?? '';
  const place = leaf.includes('/procgroup.') ? leaf.slice(0, leaf.lastIndexOf('/')) : leaf || plan.parent;
  const make = (why: string, at: string, own = code) =>
    new SpawnError(`spawn ${program}: containment 'cgroup': ${why}`, {
      code: own,
      errno,
      syscall: syscall === 'subtree_control' ? 'write' : syscall,
      stage: 'cgroup',
      path: at,
    });
  switch (syscall) {
    case 'mountinfo':
      if (code !== 'ENOTSUP') return make(`${code}: where this process is cannot be read`, '/proc/self/mountinfo');
      return make(
        'no cgroup v2 hierarchy that holds this process is mounted',
        '/proc/self/mountinfo',
        'ERR_CGROUP_PARENT',
      );
    case 'statfs':
      return code === 'ENOTSUP'
        ? make(`${place} is not in a cgroup v2 hierarchy`, place, 'ERR_CGROUP_PARENT')
        : make(`${code}: ${place}`, place);
    case 'clone':
      return make(`${place} is threaded; name a parent that is a domain`, place, 'ERR_CGROUP_PARENT');
    case 'access':
      return make(`${place} is not delegated to this user; name a parent that is`, place, 'ERR_CGROUP_PARENT');
    case 'subtree_control': {
      const controller = file.split('.')[0];
      const at = `${place}/cgroup.subtree_control`;
      if (code === 'ENOENT')
        return make(`the controller '${controller}' is not available in ${place}`, at, 'ERR_CGROUP_CONTROLLER');
      if (code === 'EBUSY') {
        const why = `${place} holds processes, so it cannot hand the controller '${controller}' down; name a parent without any, or supervisor: 'move'`;
        return make(why, at);
      }
      return make(`${code}: cannot hand the controller '${controller}' down from ${place}`, at);
    }
    case 'move':
      return make(`${code}: this process cannot be moved below ${place}`, place);
    case 'open':
    case 'write':
      if (file !== '') return make(`${code}: ${file} = ${plan.limits[index * 2 + 1]}`, `${leaf}/${file}`);
      return make(`${code}: ${syscall} in ${place}`, place);
    default:
      return make(`${code}: ${syscall} in ${place}`, syscall === 'mkdir' ? leaf : place);
  }
}

export function needsCgroup(what: string): ProcessGroupError {
  return new ProcessGroupError(`${what} needs containment 'cgroup'`, { code: 'ERR_NEEDS_CGROUP', stage: what });
}

const LIMIT_NAMES: readonly LimitName[] = ['memory', 'pids'];
export const limitNames = (bits: number): LimitName[] => LIMIT_NAMES.filter((_, bit) => bits & (1 << bit));

/** UsageNumber of native/core/supervisor.h, in its order. */
export function usageOf(numbers: readonly number[]): CgroupUsage | null {
  if (numbers.length === 0) return null;
  const at = (index: number) => ((numbers[index] ?? -1) < 0 ? null : (numbers[index] as number));
  return {
    memoryBytes: at(0),
    memoryPeakBytes: at(1),
    pids: at(2),
    pidsPeak: at(3),
    userCPUTime: at(4),
    systemCPUTime: at(5),
    ioReadBytes: at(6),
    ioWriteBytes: at(7),
    oomKills: at(8),
    pidsRefused: at(9),
  };
}

/** The counters of a leaf as they are now; null for what is not there, all of them once the leaf is gone. */
export async function readUsage(leaf: string): Promise<CgroupUsage> {
  const files = [
    'memory.current',
    'memory.peak',
    'pids.current',
    'pids.peak',
    'cpu.stat',
    'io.stat',
    'memory.events',
    'pids.events',
  ];
  const texts = await Promise.all(
    files.map((file) =>
      fs()
        .promises.readFile(`${leaf}/${file}`, 'latin1')
        .catch(() => ''),
    ),
  );
  const [memory, memoryPeak, pids, pidsPeak, cpu = '', io = '', memoryEvents = '', pidsEvents = ''] = texts;
  const number = (value: string | undefined) =>
    value === undefined || !/^\d/.test(value) ? -1 : Number.parseInt(value, 10);
  const entry = (source: string, key: string) => number(new RegExp(`^${key} (\\d+)`, 'm').exec(source)?.[1]);
  const sum = (key: string) =>
    io === ''
      ? -1
      : [...io.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))].reduce((all, [, value]) => all + Number(value), 0);
  return usageOf([
    number(memory),
    number(memoryPeak),
    number(pids),
    number(pidsPeak),
    entry(cpu, 'user_usec'),
    entry(cpu, 'system_usec'),
    sum('rbytes'),
    sum('wbytes'),
    entry(memoryEvents, 'oom_kill'),
    entry(pidsEvents, 'max'),
  ]) as CgroupUsage;
}
