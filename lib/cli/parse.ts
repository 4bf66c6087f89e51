import { constants } from 'node:os';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { TeardownStep } from '../types.js';

/** A command line that cannot be understood. Its message is one line; the exit status is 125. */
export class UsageError extends Error {}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
// The engine's deadlines are 32-bit milliseconds: 24 days.
const LONGEST_MS = 0x7fff_ffff;

/** '250ms', '5s', '1.5m', '1h', or a plain number of seconds as timeout(1) takes it; in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)?$/.exec(text);
  if (match === null) throw new UsageError(`'${text}' is not a duration: use a number and ms, s, m or h`);
  const ms = Math.round(Number(match[1]) * (UNITS[match[2] ?? 's'] as number));
  if (ms > LONGEST_MS) throw new UsageError(`'${text}' is longer than 24 days`);
  return ms;
}

const NUMBERS = constants.signals as Readonly<Record<string, number>>;
// Where two names share a number, signal(7)'s first name is the one that is reported.
const ALIASES = new Set(['SIGIOT', 'SIGPOLL', 'SIGUNUSED', 'SIGCLD']);
const NAMES = new Map<number, NodeJS.Signals>();
for (const [name, number] of Object.entries(NUMBERS)) {
  if (!ALIASES.has(name)) NAMES.set(number, name as NodeJS.Signals);
}

export function signalNumber(name: string): number {
  return NUMBERS[name] ?? 0;
}

/** All signals 1 ... 31 by number. */
export function signalNames(): ReadonlyMap<number, NodeJS.Signals> {
  return NAMES;
}

/** 'TERM', 'SIGTERM', 'term' or '15'. */
export function parseSignal(text: string): NodeJS.Signals {
  if (/^\d+$/.test(text)) {
    const name = NAMES.get(Number(text));
    if (name !== undefined) return name;
  } else {
    const upper = text.toUpperCase();
    const number = NUMBERS[upper.startsWith('SIG') ? upper : `SIG${upper}`];
    const name = number === undefined ? undefined : NAMES.get(number);
    if (name !== undefined) return name;
  }
  throw new UsageError(`'${text}' is not a signal`);
}

/** 'TERM:5s,INT:2s'; the empty string is the empty ladder, which goes straight to SIGKILL. */
export function parseLadder(text: string): TeardownStep[] {
  if (text === '') return [];
  return text.split(',').map((step) => {
    const colon = step.indexOf(':');
    if (colon < 0)
      throw new UsageError(`'${step}' is not a step of a teardown: use SIGNAL:DURATION, for instance TERM:5s`);
    return { signal: parseSignal(step.slice(0, colon)), graceMs: parseDuration(step.slice(colon + 1)) };
  });
}

/** What may not be forwarded: the first two cannot be caught, a child's end is not news for it, and the others are faults of this process itself. */
const NOT_FORWARDED: ReadonlySet<NodeJS.Signals> = new Set([
  'SIGKILL',
  'SIGSTOP',
  'SIGCHLD',
  'SIGSEGV',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
  'SIGSYS',
  'SIGTTIN',
  'SIGTTOU',
] satisfies NodeJS.Signals[]);

/** The signals that `run` catches and hands on, SIGTSTP and SIGCONT among them. */
export function forwardedSignals(): NodeJS.Signals[] {
  return [...NAMES.values()].filter((name) => !NOT_FORWARDED.has(name) && signalNumber(name) <= 31);
}

/** 'TERM:QUIT' rewrites, 'TERM:' drops. The last one for a signal counts. */
export function parseRewrites(texts: readonly string[]): Map<NodeJS.Signals, NodeJS.Signals | null> {
  const rewrites = new Map<NodeJS.Signals, NodeJS.Signals | null>();
  for (const text of texts) {
    const colon = text.indexOf(':');
    if (colon < 0) throw new UsageError(`'${text}' is not a rewrite: use FROM:TO, or FROM: to drop the signal`);
    const from = parseSignal(text.slice(0, colon));
    if (NOT_FORWARDED.has(from)) throw new UsageError(`${from} is never forwarded, so it cannot be rewritten`);
    const to = text.slice(colon + 1);
    rewrites.set(from, to === '' ? null : parseSignal(to));
  }
  return rewrites;
}

export function parseChoice<const T extends string>(option: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new UsageError(`${option} takes ${choices.join(', ')}, not '${text}'`);
  return found;
}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; strict: true; allowPositionals: true }>>;

/** parseArgs, strict; what it refuses is a UsageError of one line. */
export function parseStrict<const O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const first = (text.split(/\.\s/u)[0] as string).split('\n')[0] as string;
    throw new UsageError(first.charAt(0).toLowerCase() + first.slice(1).replace(/\.$/, ''));
  }
}

/**
 * The index in `args` where a command begins: after the first '--', or at the first argument that is no option. What
 * follows belongs to the command, whatever it looks like.
 */
export function splitCommand(args: readonly string[], options: Options): { own: string[]; command: string[] } {
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind === 'option-terminator')
      return { own: args.slice(0, token.index), command: args.slice(token.index + 1) };
    if (token.kind === 'positional') return { own: args.slice(0, token.index), command: args.slice(token.index) };
  }
  return { own: [...args], command: [] };
}
