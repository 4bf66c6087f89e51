import { ProcessGroupError } from '../errors.js';
import { attach } from '../index.js';
import { getpgrp } from '../posix.js';
import { readProcess } from '../procfs.js';
import type { StepRecord, Survivor, TeardownStep } from '../types.js';
import { killPid } from './kill-pid.js';
import { parseLadder, parseStrict, UsageError } from './parse.js';
import { printLines, warn } from './print.js';
import { formatAge, plural, printable, type Style, styleFor } from './style.js';

export const KILL_HELP = `Usage: procgroup kill [options] <pid|-pgid>...

Ends what already runs and verifies it: a plain number is that process alone, a negative one the whole process group.
Each gets the ladder's signals, SIGCONT after each, and SIGKILL in the end. What is not there counts as gone.

  --teardown LADDER   signals and the time each has, SIGKILL follows (TERM:5s)
  --json              one JSON object instead of one line a target
  --help              this text

Exit status: 0 when all are gone; 1 when something survived; 125 on bad use or failure.
`;

const DEFAULT_LADDER: readonly TeardownStep[] = [{ signal: 'SIGTERM', graceMs: 5_000 }];
const KILL_WAIT_MS = 2_000;
const SURVIVORS = 1;
const FAILED = 125;

interface Target {
  text: string;
  kind: 'process' | 'group';
  number: number;
}

interface Outcome extends Target {
  /** comm of the process or of the group's leader, '' where unknown. */
  comm: string;
  found: boolean;
  empty: boolean;
  durationMs: number;
  steps: StepRecord[];
  survivors: Survivor[];
  notes: string[];
  /** Why nothing could be done, or null. */
  error: string | null;
}

export async function kill(args: readonly string[]): Promise<number> {
  const { targets: texts, rest } = takeNumbers(args);
  const { values, positionals } = parseStrict(rest, {
    teardown: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help === true) {
    await printLines([KILL_HELP.trimEnd()]);
    return 0;
  }
  if (positionals.length > 0) throw new UsageError(`'${positionals[0]}' is neither a pid nor a -pgid`);
  const targets = texts.map(parseTarget);
  if (targets.length === 0) throw new UsageError('no pid or -pgid given');
  const ladder = values.teardown === undefined ? DEFAULT_LADDER : parseLadder(values.teardown);

  const outcomes = await Promise.all(targets.map((target) => end(target, ladder)));
  if (values.json === true) {
    await printLines([
      JSON.stringify({ targets: outcomes.map(({ text, ...fields }) => ({ target: text, ...fields })) }, null, 2),
    ]);
  } else {
    const style = styleFor(process.stdout);
    await printLines(outcomes.filter(({ error }) => error === null).map((outcome) => describe(outcome, style)));
    for (const { text, error } of outcomes) if (error !== null) warn(`procgroup kill: ${text}: ${error}`);
  }
  if (outcomes.some(({ error }) => error !== null)) return FAILED;
  return outcomes.every(({ empty }) => empty) ? 0 : SURVIVORS;
}

/** '-123' is a target here, while an option parser would take it for the options -1, -2 and -3. */
function takeNumbers(args: readonly string[]): { targets: string[]; rest: string[] } {
  const isNumber = (arg: string): boolean => /^-?\d+$/.test(arg);
  return { targets: args.filter(isNumber), rest: args.filter((arg) => !isNumber(arg)) };
}

function parseTarget(text: string): Target {
  const kind = text.startsWith('-') ? 'group' : 'process';
  const number = Math.abs(Number(text));
  if (!Number.isSafeInteger(number) || number > 0x7fff_ffff) throw new UsageError(`'${text}' is no ${kind}`);
  if (number === 0) throw new UsageError(`'${text}' would be procgroup's own process group`);
  if (number === 1) throw new UsageError(`'${text}' is refused: ${kind} 1 belongs to init`);
  if (kind === 'process' && number === process.pid) throw new UsageError(`'${text}' is procgroup itself`);
  if (kind === 'group' && number === getpgrp()) throw new UsageError(`'${text}' is procgroup's own process group`);
  return { text, kind, number };
}

async function end(target: Target, ladder: readonly TeardownStep[]): Promise<Outcome> {
  const outcome: Outcome = {
    ...target,
    comm: readProcess(target.number)?.comm ?? '',
    found: true,
    empty: true,
    durationMs: 0,
    steps: [],
    survivors: [],
    notes: [],
    error: null,
  };
  try {
    return Object.assign(outcome, await endTarget(target, ladder));
  } catch (error) {
    if (error instanceof ProcessGroupError && error.code === 'ESRCH') return Object.assign(outcome, { found: false });
    return Object.assign(outcome, { empty: false, error: error instanceof Error ? error.message : String(error) });
  }
}

async function endTarget({ kind, number }: Target, ladder: readonly TeardownStep[]): Promise<Partial<Outcome>> {
  if (kind === 'process') return killPid(number, ladder, KILL_WAIT_MS);
  const group = await attach(number, { teardown: ladder, killWaitMs: KILL_WAIT_MS });
  return group.stop();
}

function describe({ text, kind, comm, found, empty, durationMs, steps, survivors }: Outcome, style: Style): string {
  const name = comm === '' ? text : `${text} (${printable(comm)})`;
  if (!found) return `${mark('-', 'dim', style)} ${name}: no such ${kind === 'group' ? 'process group' : 'process'}`;
  const signals = steps.map(({ signal }) => signal).join(', ') || 'no signal';
  const spent = `after ${formatAge(durationMs / 1000)} (${signals})`;
  if (empty) {
    return `${mark(style.unicode ? '✔' : '+', 'green', style)} ${name}: ${kind === 'group' ? 'empty' : 'gone'} ${spent}`;
  }
  const list = survivors.map((survivor) => {
    const why = survivor.error ?? (survivor.heldByTracer ? 'held by its tracer' : survivor.wchan);
    return `${survivor.pid} (${printable(survivor.comm)}) state ${survivor.state}${why === '' ? '' : ` ${why}`}`;
  });
  const count = plural(survivors.length, 'survivor');
  return `${mark(style.unicode ? '✘' : '!', 'red', style)} ${name}: ${count} ${spent}: ${list.join('; ')}`;
}

function mark(sign: string, colour: 'green' | 'red' | 'dim', style: Style): string {
  return style.paint(colour, sign);
}
