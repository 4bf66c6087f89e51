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
