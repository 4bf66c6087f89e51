import { pathToFileURL } from 'node:url';
import { type NamesOf, onlyKnown, SPAWN_NAMES } from './known-options.js';
import type { SpawnOptions } from './types.js';
import {
  bare,
  duration,
  flatEnv,
  integer,
  invalidType,
  invalidValue,
  oneOf,
  record,
  snapshotOptions,
  text,
} from './validate.js';
import { MAX_MESSAGE_BYTES } from './workload-channel.js';

/** What becomes of the workload's own output: its end is kept, it goes where ours goes, or nowhere. */
export type WorkloadOutput = 'tail' | 'inherit' | 'ignore';
type Placement = Omit<SpawnOptions, 'stdio' | 'shell' | 'argv0' | 'foreground' | 'signal' | 'timeoutMs' | 'leaseMs'>;

/** How the process is started: spawn()'s options (containment is 'tree' by default), and these. */
export interface WorkloadProcessOptions extends Placement {
  /** The Node to run (default process.execPath). */
  execPath?: string;
  /** Its options. Default: this process's, without a debugger's and what belongs to its own script. */
  execArgv?: readonly string[];
  /** Milliseconds until the module is loaded and the function called (default 30,000). */
  startMs?: number;
  /** Largest message in bytes: payload, value, error, one progress value (default 128 MiB). */
  maxMessageBytes?: number;
  /** Default 'tail'. */
  stdout?: WorkloadOutput;
  /** Default 'tail'. */
  stderr?: WorkloadOutput;
  /** Characters kept of each output that is 'tail' (default 65,536). */
  tailChars?: number;
}

/** What one run takes. */
export interface WorkloadRunOptions {
  /** The export to call (default 'default'). */
  exportName?: string;
  /** Fires the workload's own signal; after abortGraceMs comes the teardown. The run rejects with AbortError. */
  signal?: AbortSignal;
  /** Milliseconds for the whole run, its start included: then as an abort, but ERR_WORKLOAD_TIMEOUT (default: none). */
  timeoutMs?: number;
  /** Milliseconds for a workload that was told to abort to end by itself (default 1,000). */
  abortGraceMs?: number;
  /** When a run settles: once nothing of its tree is left, or when its value or error is here (default 'gone'). */
  settle?: 'gone' | 'value';
}

export interface WorkloadOptions extends WorkloadProcessOptions, WorkloadRunOptions {}

/** Of spawn()'s, what belongs to a process whose descriptors, command line and end are the run's. */
const { stdio, shell, argv0, foreground, leaseMs, ...PLACEMENT_NAMES } = SPAWN_NAMES;
/** @internal */
export const NAMES: NamesOf<WorkloadOptions> = {
  ...PLACEMENT_NAMES,
  execPath: true,
  execArgv: true,
  startMs: true,
  maxMessageBytes: true,
  stdout: true,
  stderr: true,
  tailChars: true,
  exportName: true,
  abortGraceMs: true,
  settle: true,
};
/** @internal Validated options. */
export type WorkloadPlan = ReturnType<typeof planWorkload>;

/** What belongs to this process and its script: a debugger's port, the script itself, the test runner, the watcher. */
const OWN = /^(--(inspect|test|watch)(-.*)?|--debug-port|-[epci]|-pe|--(eval|print|check|interactive|input-type|run))$/;
/** Those of them that take the next word where they have no '='. */
const TAKES_WORD =
  /^(--(inspect|debug)-port|--inspect-publish-uid|-e|-pe?|--(eval|print|input-type|watch-path|run)|--test-(?!only|force|upd).+)$/;

/** Loaders (--import, --require, --loader), conditions and V8's flags stay. */
function withoutOwn(words: readonly string[]): string[] {
  let taken = false;
  return words.filter((word) => {
    const [name = '', value] = word.replace(/"/g, '').split('=');
    const own = taken || OWN.test(name);
    taken = !taken && own && value === undefined && TAKES_WORD.test(name);
    return !own;
  });
}

/** NODE_OPTIONS without a debugger, unless it was given on purpose. Words may be quoted: node(1). */
function inheritedEnv(env: SpawnOptions['env'] = process.env): SpawnOptions['env'] {
  const { NODE_OPTIONS } = process.env;
  if (NODE_OPTIONS === undefined || env?.NODE_OPTIONS !== NODE_OPTIONS) return env;
  return { ...flatEnv(env), NODE_OPTIONS: withoutOwn(NODE_OPTIONS.match(/("(\\.|[^"\\])*"|[^ "])+/g) ?? []).join(' ') };
}

/** A relative path counts from the working directory, as in new Worker(); a bare name would be looked for beside this file. */
export function moduleUrl(name: string, module: unknown): string {
  if (module instanceof URL) return module.href;
  const given = text(name, module);
  if (/^(file|data|node):/.test(given)) return given;
  if (/^\.{0,2}\//.test(given)) return pathToFileURL(given).href;
  throw invalidValue(name, "must be a URL, or a path that begins with '/', './' or '../'", module);
}

/** Longer than what a timer can count, 24 days, is not told apart from it. */
const ms = (name: string, value: unknown, fallback: number) => Math.min(duration(name, value, fallback), 0x7fffffff);

/** Checks what is ours; what spawn() takes it checks itself. */
export function planWorkload(options: WorkloadOptions) {
  const own: WorkloadOptions = record('options', options);
  onlyKnown('options', own, NAMES);
  const { execPath, execArgv, startMs, maxMessageBytes, stdout, stderr, tailChars, ...others } = own;
  const { exportName, signal, timeoutMs, abortGraceMs, settle, ...rest } = bare(others);
  const placement = snapshotOptions(rest);
  if (execArgv !== undefined && !Array.isArray(execArgv)) throw invalidType('options.execArgv', 'an array', execArgv);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalidType('options.signal', 'an instance of AbortSignal', signal);
  }
  const outputs = ['tail', 'inherit', 'ignore'] as const;
  return {
    execPath: text('options.execPath', execPath ?? process.execPath),
    execArgv: execArgv ? [...execArgv] : withoutOwn(process.execArgv),
    placement: bare({ containment: 'tree', ...placement, env: inheritedEnv(placement.env) } as SpawnOptions),
    startMs: ms('options.startMs', startMs, 30_000),
    maxMessageBytes: integer('options.maxMessageBytes', maxMessageBytes ?? 2 ** 27, 1, MAX_MESSAGE_BYTES),
    stdout: oneOf('options.stdout', stdout, outputs, 'tail'),
    stderr: oneOf('options.stderr', stderr, outputs, 'tail'),
    tailChars: integer('options.tailChars', tailChars ?? 65_536, 0, 2 ** 28),
    exportName: text('options.exportName', exportName ?? 'default'),
    signal,
    timeoutMs: ms('options.timeoutMs', timeoutMs, 0),
    abortGraceMs: ms('options.abortGraceMs', abortGraceMs, 1_000),
    settle: oneOf('options.settle', settle, ['gone', 'value'] as const, 'gone'),
  };
}
