import { isMainThread, path as nodePath } from './builtins.js';
import { type CgroupPlan, planCgroup } from './cgroup.js';
import { ProcessGroupError } from './errors.js';
import { guardianPath } from './guardian-path.js';
import { maySetGroups } from './identity.js';
import { onlyKnown, SPAWN_NAMES } from './known-options.js';
import type { Killer } from './native.js';
import { signalNumber } from './signals.js';
import { normalizeStdio, type StdioPlan } from './stdio-option.js';
import type { Containment, Isolation, RlimitName, SpawnOptions, StdioOption, TeardownOptions } from './types.js';
import {
  boolean,
  duration,
  flatEnv,
  integer,
  invalidType,
  invalidValue,
  oneOf,
  outOfRange,
  path,
  record,
  text,
} from './validate.js';

/** Bounds of native/core/protocol.h. */
const MAX_GROUPS = 64;
const MAX_STEPS = 16;
const ISOLATIONS = ['inherit', 'group', 'session'] as const;
const CONTAINMENTS = ['leader', 'group', 'tree', 'cgroup', 'namespace'] as const;
/** RLIMIT_ numbers of asm-generic/resource.h, the same on x64 and arm64. getrlimit(2). */
const RLIMITS: Record<RlimitName, number> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

/** A validated spawn: what the addon is given, and what the handle needs to know of it. */
export interface SpawnPlan {
  file: string;
  argv: string;
  env: string | null;
  cwd: string | null;
  killer: Killer | null;
  /** In the order of native/addon/request.cc, see packed(). */
  numbers: number[];
  guardian: string | null;
  cgroup: CgroupPlan | null;
  stdio: StdioPlan;
  isolation: Isolation;
  containment: Containment;
  parentDeathSignal: NodeJS.Signals | 'none';
  drainMs: number;
  signal: AbortSignal | undefined;
}

export interface TeardownPlan {
  /** killWaitMs, exitGraceMs, the killer's timeout, the number of steps, then signal and grace of each. */
  numbers: number[];
  killer: Killer | null;
}

export const DEFAULT_DRAIN_MS = 1_000;

export function planTeardown(options: TeardownOptions): TeardownPlan {
  const numbers = [
    duration('options.killWaitMs', options.killWaitMs, 2_000),
    duration('options.exitGraceMs', options.exitGraceMs, 1_000),
  ];
  let killer: Killer | null = null;
  let killerTimeout = 0;
  if (options.privilegedKiller !== undefined) {
    const given = record('options.privilegedKiller', options.privilegedKiller);
    onlyKnown('options.privilegedKiller', given, { command: true, timeoutMs: true });
    const { command, timeoutMs } = given;
    if (!Array.isArray(command)) throw invalidType('options.privilegedKiller.command', 'an array of strings', command);
    const words = command.map((word, i) => text(`options.privilegedKiller.command[${i}]`, word));
    if (!words[0]) throw invalidValue('options.privilegedKiller.command', 'must name a program', command);
    killer = [words.join('\0'), environmentBlock(process.env)];
    killerTimeout = duration('options.privilegedKiller.timeoutMs', timeoutMs, 2_000);
  }
  const steps = options.teardown ?? [{ signal: 'SIGTERM', graceMs: 5_000 }];
  if (!Array.isArray(steps)) throw invalidType('options.teardown', 'an array of steps', steps);
  if (steps.length > MAX_STEPS)
    throw invalidValue('options.teardown', `must have at most ${MAX_STEPS} steps`, steps.length);
  numbers.push(killerTimeout, steps.length);
  steps.forEach((step, i) => {
    const given = record(`options.teardown[${i}]`, step);
    onlyKnown(`options.teardown[${i}]`, given, { signal: true, graceMs: true });
    const { signal, graceMs } = given;
    if (graceMs === undefined) throw invalidType(`options.teardown[${i}].graceMs`, 'of type number', graceMs);
    numbers.push(signalNumber(signal, `options.teardown[${i}].signal`));
    numbers.push(duration(`options.teardown[${i}].graceMs`, graceMs, 0));
  });
  return { numbers, killer };
}

/** uid, gid, the number of groups (-1: leave), the groups. Changed by the guardian, in its own memory. setresuid(2). */
function planIdentity(options: SpawnOptions, containment: Containment): number[] {
  const { uid, gid, groups } = options;
  if (uid === undefined && gid === undefined && groups === undefined) return [-1, -1, -1];
  if (containment === 'leader' || containment === 'group') {
    throw invalidValue(
      'options.containment',
      "must be 'tree', 'cgroup' or 'namespace' where uid, gid or groups are given",
      containment,
    );
  }
  const id = (name: string, value: unknown) => (value === undefined ? -1 : integer(name, value, 0, 0x7fffffff));
  if (groups !== undefined && !Array.isArray(groups))
    throw invalidType('options.groups', 'an array of numbers', groups);
  if (groups !== undefined && groups.length > MAX_GROUPS) {
    throw invalidValue('options.groups', `must have at most ${MAX_GROUPS} entries`, groups.length);
  }
  const list = (groups ?? []).map((group, i) => integer(`options.groups[${i}]`, group, 0, 0x7fffffff));
  const ids = [id('options.uid', uid), id('options.gid', gid)];
  // Another user must not keep our supplementary groups, so they go where nothing was said of them.
  const keep = groups === undefined && (ids.every((given) => given === -1) || !maySetGroups());
  return [...ids, keep ? -1 : list.length, ...list];
}

function limit(name: string, value: unknown): number {
  if (value === 'unlimited') return Number.POSITIVE_INFINITY;
  return integer(name, value, 0, Number.MAX_SAFE_INTEGER);
}

function planRlimits(value: unknown): number[] {
  if (value === undefined) return [0];
  const entries = Object.entries(record('options.rlimits', value)).filter(([, v]) => v !== undefined);
  const numbers = [entries.length];
  for (const [name, given] of entries) {
    const resource = Object.hasOwn(RLIMITS, name) ? RLIMITS[name as RlimitName] : undefined;
    if (resource === undefined) throw invalidValue('options.rlimits', `has no limit named '${name}'`, value);
    const both =
      typeof given === 'object' && given !== null
        ? record(`options.rlimits.${name}`, given)
        : { soft: given, hard: given };
    const soft = limit(`options.rlimits.${name}.soft`, both.soft);
    const hard = limit(`options.rlimits.${name}.hard`, both.hard);
    if (soft > hard)
      throw invalidValue(`options.rlimits.${name}`, 'must not have a soft limit above the hard one', given);
    numbers.push(resource, soft, hard);
  }
  return numbers;
}

/** As Node turns values into text. A symbol, or an object without a prototype, cannot become text. */
function asText(name: string, value: unknown): string {
  try {
    return `${value}`;
  } catch {
    throw invalidType(`options.env['${name}']`, 'of type string', value);
  }
}

function planEnv(env: unknown): string | null {
  // In a worker process.env is the thread's own copy and does not write through to the process's.
  if (env === undefined && isMainThread()) return null;
  return environmentBlock(flatEnv(env === undefined ? process.env : env));
}

/** Null: where we are at the call. A mount namespace of its own is entered by name, since a descriptor of ours lies outside. */
function planCwd(given: unknown, containment: Containment): string | null {
  const cwd = given === undefined ? null : path('options.cwd', given);
  if (containment !== 'namespace' || cwd?.startsWith('/')) return cwd;
  try {
    return nodePath().resolve(cwd ?? '.');
  } catch {
    return cwd; // Our own directory has been removed: exec says what it can do there.
  }
}

function environmentBlock(env: object): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || name.includes('='))
      throw invalidValue('options.env', "must not have a name that is empty or holds '='", name);
    lines.push(text(`options.env['${name}']`, `${name}=${asText(name, value)}`));
  }
  return lines.join('\0');
}

/** 0 stands for none. */
function planLease(value: unknown): number {
  const leaseMs = duration('options.leaseMs', value, Number.POSITIVE_INFINITY);
  if (leaseMs === 0) throw outOfRange('options.leaseMs', '> 0', value);
  return Number.isFinite(leaseMs) ? leaseMs : 0;
}

/** Everything that can be refused is refused here, before anything is opened or started. `options` has no prototype. */
export function planSpawn(file: unknown, args: unknown, options: SpawnOptions<StdioOption>): SpawnPlan {
  onlyKnown('options', options, SPAWN_NAMES);
  let program = text('file', file);
  if (program === '') throw invalidValue('file', 'cannot be empty', file);
  if (!Array.isArray(args)) throw invalidType('args', 'an instance of Array', args);
  let words = args.map((word, i) => text(`args[${i}]`, word));
  const { shell } = options;
  if (shell !== undefined && typeof shell !== 'boolean' && typeof shell !== 'string') {
    throw invalidType('options.shell', 'of type boolean or string', shell);
  }
  if (shell !== undefined && shell !== false && shell !== '') {
    words = ['-c', [program, ...words].join(' ')];
    program = shell === true ? '/bin/sh' : text('options.shell', shell);
  }
  const argv0 = options.argv0 === undefined ? program : text('options.argv0', options.argv0);

  const isolation = oneOf('options.isolation', options.isolation, ISOLATIONS, 'group');
  const containment = oneOf(
    'options.containment',
    options.containment,
    CONTAINMENTS,
    isolation === 'inherit' ? 'leader' : 'tree',
  );
  if (isolation === 'inherit' && containment === 'group') {
    throw new ProcessGroupError("isolation 'inherit' with containment 'group' would tear down our own process group", {
      code: 'ERR_OWN_GROUP',
      stage: 'validate',
    });
  }
  if (isolation === 'inherit' && containment === 'namespace') {
    throw new ProcessGroupError('our own process group is not to be seen in a PID namespace: it cannot be inherited', {
      code: 'ERR_NAMESPACE_INHERIT',
      stage: 'validate',
    });
  }
  const foreground = boolean('options.foreground', options.foreground, false);
  if (foreground && isolation === 'session') {
    throw new ProcessGroupError('a new session has no terminal: foreground needs isolation group', {
      code: 'ERR_FOREGROUND_SESSION',
      stage: 'validate',
    });
  }
  if (foreground && isolation === 'inherit')
    throw invalidValue('options.foreground', "needs isolation 'group'", foreground);

  const lifetime = oneOf('options.lifetime', options.lifetime, ['bound', 'releasable'] as const, 'bound');
  const parentDeathSignal =
    options.parentDeathSignal ?? (containment !== 'leader' && lifetime === 'bound' ? 'SIGKILL' : 'none');
  if (lifetime === 'releasable' && parentDeathSignal !== 'none') {
    throw invalidValue('options.parentDeathSignal', "cannot be armed with lifetime 'releasable'", parentDeathSignal);
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw invalidType('options.signal', 'an instance of AbortSignal', options.signal);
  }
  if (options.cgroup !== undefined && containment !== 'cgroup') {
    throw invalidValue('options.containment', "must be 'cgroup' where options.cgroup is given", containment);
  }
  const teardown = planTeardown(options);
  const stdio = normalizeStdio(options.stdio);
  const optional = (name: 'umask' | 'nice' | 'oomScoreAdj', low: number, high: number) =>
    options[name] === undefined ? Number.NaN : integer(`options.${name}`, options[name], low, high);
  // The order is read by native/addon/request.cc.
  const numbers = [
    ISOLATIONS.indexOf(isolation),
    CONTAINMENTS.indexOf(containment),
    foreground ? 1 : 0,
    oneOf('options.strayFds', options.strayFds, ['close', 'inherit'] as const, 'close') === 'close' ? 1 : 0,
    1, // held: release() changes it later
    parentDeathSignal === 'none' ? 0 : signalNumber(parentDeathSignal, 'options.parentDeathSignal'),
    optional('umask', 0, 0o777),
    optional('nice', -20, 19),
    optional('oomScoreAdj', -1000, 1000),
    duration('options.timeoutMs', options.timeoutMs, 0),
    planLease(options.leaseMs),
    ...teardown.numbers,
    ...stdio.numbers,
    ...planRlimits(options.rlimits),
    ...planIdentity(options, containment),
  ];
  return {
    file: program,
    argv: [argv0, ...words].join('\0'),
    env: planEnv(options.env),
    cwd: planCwd(options.cwd, containment),
    killer: teardown.killer,
    numbers,
    guardian: containment === 'leader' || containment === 'group' ? null : guardianPath(),
    cgroup: containment === 'cgroup' ? planCgroup(options.cgroup) : null,
    stdio,
    isolation,
    containment,
    parentDeathSignal,
    drainMs: duration('options.drainMs', options.drainMs, DEFAULT_DRAIN_MS),
    signal: options.signal,
  };
}
