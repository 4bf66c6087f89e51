import { isMainThread } from 'node:worker_threads';
import { planSpawn } from './options.js';
import { signalNumber } from './signals.js';
import { httpLost } from './supervise-lease.js';
import type { LeaseOptions, Readiness, RestartOptions, SignalAction, SuperviseOptions } from './supervise-types.js';
import type { SpawnOptions } from './types.js';
import { duration, integer, invalidType, invalidValue, oneOf, outOfRange, record } from './validate.js';

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

function planLease(value: unknown): Required<LeaseOptions> | AbortSignal | null {
  if (value === undefined || value instanceof AbortSignal) return value ?? null;
  const given = record('options.lease', value) as Partial<LeaseOptions>;
  if (typeof given.beat !== 'function') throw invalidType('options.lease.beat', 'of type function', given.beat);
  if (given.leaseMs === undefined) throw invalidType('options.lease.leaseMs', 'of type number', given.leaseMs);
  const leaseMs = between('options.lease.leaseMs', given.leaseMs, 0, 1, Number.POSITIVE_INFINITY);
  // A lease that ends before its second beat cannot be kept.
  const longest = Math.min(leaseMs, LONGEST);
  const intervalMs = between('options.lease.intervalMs', given.intervalMs, leaseMs / 3, 0.1, longest);
  return {
    beat: given.beat,
    leaseMs,
    intervalMs,
    timeoutMs: between('options.lease.timeoutMs', given.timeoutMs, intervalMs / 2, 0.1),
    forgivenMisses: integer('options.lease.forgivenMisses', given.forgivenMisses ?? 1, 0, LONGEST),
    lost: callback('options.lease.lost', given.lost) ?? httpLost,
  };
}

function planRestart(value: unknown = {}): Required<RestartOptions> {
  const { policy, limit, healthyMs, backoffMs, maxBackoffMs, jitter } = record('options.restart', value);
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
  const { line, port, host, check, intervalMs } = record('options.ready', value);
  if ([line, port, check].filter((way) => way !== undefined).length !== 1)
    throw invalidValue('options.ready', "must have one of 'line', 'port' and 'check'", value);
  if (line !== undefined && typeof line !== 'string' && !(line instanceof RegExp))
    throw invalidType('options.ready.line', 'a string or a RegExp', line);
  if (line !== undefined && output !== 'tail') throw invalidValue('options.ready.line', "needs output 'tail'", output);
  if (port !== undefined) integer('options.ready.port', port, 1, 65_535);
  if (host !== undefined && typeof host !== 'string') throw invalidType('options.ready.host', 'of type string', host);
  callback('options.ready.check', check);
  between('options.ready.intervalMs', intervalMs, 100, 1);
  return { ...(value as Readiness) };
}

function planSignals(value: unknown = {}, isolation: unknown): (readonly [NodeJS.Signals, SignalAction])[] {
  const entries = Object.entries(record('options.signals', value)).filter(([, action]) => action !== undefined);
  return entries.map(([name, action]) => {
    signalNumber(name, 'options.signals');
    const done = oneOf(`options.signals.${name}`, action, ['forward', 'drain', 'teardown'] as const, 'teardown');
    if (name === 'SIGKILL' || name === 'SIGSTOP') throw invalidValue('options.signals', 'cannot be handled', name);
    if (!isMainThread) throw invalidValue('options.signals', 'needs the main thread: workers get no signals', name);
    if (done === 'forward' && isolation === 'inherit')
      throw invalidValue(`options.signals.${name}`, 'would signal our own group once more', done);
    return [name as NodeJS.Signals, done] as const;
  });
}

export type SupervisePlan = ReturnType<typeof planSupervision>;

/** Everything that can be refused is refused here, before there is a process, a timer or a listener. */
export function planSupervision(file: string, args: readonly string[], options: SuperviseOptions) {
  const given = record('options', options) as SuperviseOptions;
  const { lease, restart, ready, startTimeoutMs, signals, signalWindowMs, signalRepeat, ...others } = given;
  const { stdin = 'ignore', output, tailChars, onLine, onRun, ...spawnOptions } = others;
  for (const name of ['stdio', 'lifetime', 'leaseMs'] as const) {
    const value = (spawnOptions as SpawnOptions)[name];
    if (value !== undefined) throw invalidValue(`options.${name}`, 'is no option of supervise()', value);
  }
  if ((stdin as unknown) === 'pipe') throw invalidValue('options.stdin', 'cannot be a pipe', stdin);
  const kept = oneOf('options.output', output, ['tail', 'streams', 'inherit', 'ignore'] as const, 'tail');
  if (callback('options.onLine', onLine) && kept !== 'tail')
    throw invalidValue('options.onLine', "needs output 'tail'", kept);
  const end = kept === 'inherit' || kept === 'ignore' ? kept : 'pipe';
  const spawn: SpawnOptions = { ...spawnOptions, stdio: [stdin, end, end] };
  planSpawn(file, args, spawn);
  return {
    file,
    args,
    spawn,
    lease: planLease(lease),
    restart: planRestart(restart),
    ready: planReady(ready, kept),
    startTimeoutMs: between('options.startTimeoutMs', startTimeoutMs, 30_000, 1),
    signals: planSignals(signals, given.isolation),
    signalWindowMs: duration('options.signalWindowMs', signalWindowMs, 250),
    signalRepeat: oneOf('options.signalRepeat', signalRepeat, ['ignore', 'kill'] as const, 'ignore'),
    output: kept,
    tailChars: integer('options.tailChars', tailChars ?? 65_536, 0, 2 ** 24),
    onLine,
    onRun: callback('options.onRun', onRun),
  };
}
