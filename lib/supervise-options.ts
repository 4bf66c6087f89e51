import { isMainThread } from 'node:worker_threads';
import { type NamesOf, onlyKnown, SPAWN_NAMES } from './known-options.js';
import { signalNumber } from './signals.js';
import { checkSpawn } from './strongest.js';
import { httpLost } from './supervise-lease.js';
import type { LeaseOptions, Readiness, RestartOptions, SignalAction, SuperviseOptions } from './supervise-types.js';
import type { SpawnOptions } from './types.js';
import {
  bare,
  duration,
  integer,
  invalidType,
  invalidValue,
  oneOf,
  outOfRange,
  record,
  snapshot,
  snapshotOptions,
} from './validate.js';

/** What setTimeout can count. */
const LONGEST = 2 ** 31 - 1;

function between(name: string, value: unknown, fallback: number, low: number, high = LONGEST): number {
  const number = duration(name, value, fallback);
  if (number < low || number > high) throw outOfRange(name, `>= ${low} && <= ${high}`, number);
  return number;
}

function callback<F>(name: string, value: F): F {
  if (value !== undefined && typeof value !== 'function') throw invalidType(name, 'of type function', value);
  return value;
}

const LEASE_NAMES: NamesOf<LeaseOptions> = {
  beat: true,
  leaseMs: true,
  intervalMs: true,
  timeoutMs: true,
  forgivenMisses: true,
  lost: true,
};
const RESTART_NAMES: NamesOf<RestartOptions> = {
  policy: true,
  limit: true,
  healthyMs: true,
  backoffMs: true,
  maxBackoffMs: true,
  jitter: true,
};

function planLease(value: unknown): Required<LeaseOptions> | AbortSignal | null {
  if (value === undefined || value instanceof AbortSignal) return value ?? null;
  const given = record('options.lease', value) as unknown as LeaseOptions;
  onlyKnown('options.lease', given, LEASE_NAMES);
  const { beat, leaseMs, lost } = given;
  if (typeof beat !== 'function') throw invalidType('options.lease.beat', 'of type function', beat);
  if (leaseMs === undefined) throw invalidType('options.lease.leaseMs', 'of type number', leaseMs);
  between('options.lease.leaseMs', leaseMs, 0, 1, Number.POSITIVE_INFINITY);
  // A lease that ends before its second beat cannot be kept.
  const longest = Math.min(leaseMs, LONGEST);
  const intervalMs = between('options.lease.intervalMs', given.intervalMs, leaseMs / 3, 0.1, longest);
  const timeoutMs = between('options.lease.timeoutMs', given.timeoutMs, intervalMs / 2, 0.01);
  const forgivenMisses = integer('options.lease.forgivenMisses', given.forgivenMisses ?? 1, 0, LONGEST);
  return {
    beat,
    leaseMs,
    intervalMs,
    timeoutMs,
    forgivenMisses,
    lost: callback('options.lease.lost', lost) ?? httpLost,
  };
}

function planRestart(value: unknown = {}): Required<RestartOptions> {
  const given = record('options.restart', value);
  onlyKnown('options.restart', given, RESTART_NAMES);
  const { policy, limit, healthyMs, backoffMs, maxBackoffMs, jitter } = given;
  return {
    policy: oneOf('options.restart.policy', policy, ['never', 'on-failure', 'always'] as const, 'never'),
    limit: between('options.restart.limit', limit, 5, 0, Number.POSITIVE_INFINITY),
    healthyMs: duration('options.restart.healthyMs', healthyMs, 10_000),
    backoffMs: duration('options.restart.backoffMs', backoffMs, 500),
    maxBackoffMs: between('options.restart.maxBackoffMs', maxBackoffMs, 30_000, 0),
    jitter: between('options.restart.jitter', jitter, 0.5, 0, 1),
  };
}

function planReady(value: unknown, output: string): Readiness | null {
  if (value === undefined) return null;
  const given = record('options.ready', value);
  onlyKnown('options.ready', given, { line: true, port: true, host: true, check: true, intervalMs: true });
  const { line, port, host = '', check, intervalMs } = given;
  if ([line, port, check].filter((way) => way !== undefined).length !== 1)
    throw invalidValue('options.ready', "must have one of 'line', 'port' and 'check'", value);
  if (line !== undefined && typeof line !== 'string' && !(line instanceof RegExp))
    throw invalidType('options.ready.line', 'a string or a RegExp', line);
  if (line !== undefined && output !== 'tail') throw invalidValue('options.ready.line', "needs output 'tail'", output);
  if (port !== undefined) integer('options.ready.port', port, 1, 65_535);
  if (typeof host !== 'string') throw invalidType('options.ready.host', 'of type string', host);
  callback('options.ready.check', check);
  between('options.ready.intervalMs', intervalMs, 100, 1);
  return given as Readiness;
}

function planSignals(value: unknown = {}, isolation: unknown): [NodeJS.Signals, SignalAction][] {
  const entries = Object.entries(record('options.signals', value)).filter(([, action]) => action !== undefined);
  return entries.map(([name, given]) => {
    signalNumber(name, 'options.signals');
    const action = oneOf(`options.signals.${name}`, given, ['forward', 'drain', 'teardown'] as const, 'teardown');
    if (name === 'SIGKILL' || name === 'SIGSTOP') throw invalidValue('options.signals', 'cannot be handled', name);
    if (!isMainThread) throw invalidValue('options.signals', 'needs the main thread: workers get no signals', name);
    if (action === 'forward' && isolation === 'inherit')
      throw invalidValue(`options.signals.${name}`, 'would signal our own group once more', action);
    return [name as NodeJS.Signals, action];
  });
}

/** Those of spawn() that are none here are refused by words of their own. */
const NAMES: NamesOf<SuperviseOptions> = {
  ...SPAWN_NAMES,
  lease: true,
  restart: true,
  ready: true,
  startTimeoutMs: true,
  signals: true,
  signalWindowMs: true,
  signalRepeat: true,
  stdin: true,
  output: true,
  tailChars: true,
  onLine: true,
  onRun: true,
};

export type SupervisePlan = ReturnType<typeof planSupervision>;

/** Everything that can be refused is refused here, before there is a process, a timer or a listener. */
export function planSupervision(file: string, args: readonly string[], options: SuperviseOptions) {
  const own = record('options', options);
  const { lease, restart, ready, startTimeoutMs, signals, signalWindowMs, signalRepeat, ...rest } =
    own as SuperviseOptions;
  const { stdin = 'ignore', output: given, tailChars, onLine, onRun, ...spawnOptions } = bare(rest);
  for (const name of ['stdio', 'lifetime', 'leaseMs'] as const) {
    if (own[name] !== undefined) throw invalidValue(`options.${name}`, 'is no option of supervise()', own[name]);
  }
  onlyKnown('options', own, NAMES);
  if ((stdin as unknown) === 'pipe') throw invalidValue('options.stdin', 'cannot be a pipe', stdin);
  const output = oneOf('options.output', given, ['tail', 'streams', 'inherit', 'ignore'] as const, 'tail');
  if (callback('options.onLine', onLine) && output !== 'tail')
    throw invalidValue('options.onLine', "needs output 'tail'", output);
  const end = output === 'inherit' || output === 'ignore' ? output : 'pipe';
  // Each run reads them again.
  const words = snapshot(args);
  const spawn: SpawnOptions = snapshotOptions({ ...spawnOptions, stdio: [stdin, end, end] });
  checkSpawn(file, words, spawn);
  return {
    ...{ file, args: words, spawn, output, onLine, onRun: callback('options.onRun', onRun) },
    lease: planLease(lease),
    restart: planRestart(restart),
    ready: planReady(ready, output),
    startTimeoutMs: between('options.startTimeoutMs', startTimeoutMs, 30_000, 1),
    signals: planSignals(signals, spawn.isolation),
    signalWindowMs: duration('options.signalWindowMs', signalWindowMs, 250),
    signalRepeat: oneOf('options.signalRepeat', signalRepeat, ['ignore', 'kill'] as const, 'ignore'),
    tailChars: integer('options.tailChars', tailChars ?? 65_536, 0, 2 ** 24),
  };
}
