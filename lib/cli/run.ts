import { SpawnError } from '../errors.js';
import { spawn } from '../index.js';
import type { ProcessGroup } from '../process-group.js';
import type { Containment, ExitResult, Isolation, SpawnOptions, Survivor, TeardownReport } from '../types.js';
import { Job } from './job.js';
import {
  parseChoice,
  parseDuration,
  parseLadder,
  parseRewrites,
  parseStrict,
  signalNumber,
  splitCommand,
  UsageError,
} from './parse.js';
import { printLines, warn } from './print.js';
import { ReportFile } from './report-file.js';
import { printable } from './style.js';
import { leaveTerminals, sharesItsGroup, Terminal } from './terminal.js';

export const RUN_HELP = `Usage: procgroup run [options] [--] command [args]

Runs the command as a process group of its own, forwards signals to the group, and when the command ends takes down what
is left of the group. On a terminal it behaves as the shell's own job: Ctrl-C and Ctrl-Z reach the command.

  --isolation KIND      inherit, group or session (group)
  --containment KIND    leader or group (group; leader with --isolation inherit)
  --teardown LADDER     signals and the time each has, SIGKILL follows (TERM:5s); for instance TERM:5s,INT:2s
  --timeout DURATION    take the group down after that; exit status 124 (none)
  --rewrite FROM:TO     forward TO where FROM is received; FROM: drops it; may be repeated
  --report FILE         write the teardown report as one JSON object
  --help                this text

A duration is a number with ms, s, m or h; a plain number is seconds.
Exit status: the command's; 128+n when signal n ended it; 124 after the timeout; 125 when procgroup itself failed;
126 when the command cannot be executed; 127 when it is not found.
`;

const TIMED_OUT = 124;
const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

const OPTIONS = {
  isolation: { type: 'string' },
  containment: { type: 'string' },
  teardown: { type: 'string' },
  timeout: { type: 'string' },
  rewrite: { type: 'string', multiple: true },
  report: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const ISOLATIONS = ['inherit', 'group', 'session'] as const satisfies readonly Isolation[];
const CONTAINMENTS = ['leader', 'group', 'tree', 'cgroup', 'namespace'] as const satisfies readonly Containment[];

export async function run(args: readonly string[]): Promise<number> {
  const { own, command } = splitCommand(args, OPTIONS);
  const { values } = parseStrict(own, OPTIONS);
  if (values.help === true) {
    await printLines([RUN_HELP.trimEnd()]);
    return 0;
  }
  const [file, ...argv] = command;
  const isolation = parseChoice('--isolation', values.isolation ?? 'group', ISOLATIONS);
  const defaultContainment = isolation === 'inherit' ? 'leader' : 'group';
  const options: SpawnOptions<'inherit'> = {
    isolation,
    containment: parseChoice('--containment', values.containment ?? defaultContainment, CONTAINMENTS),
    stdio: 'inherit',
  };
  if (values.teardown !== undefined) options.teardown = parseLadder(values.teardown);
  const timeoutMs = parseDuration(values.timeout ?? '0');
  if (timeoutMs > 0) options.timeoutMs = timeoutMs;
  const rewrites = parseRewrites(values.rewrite ?? []);
  if (file === undefined) throw new UsageError('no command given');

  const reportFile = values.report === undefined ? null : new ReportFile(values.report);
  const terminal = Terminal.find();
  const ownsTerminal = terminal !== null && isolation === 'group' && !sharesItsGroup();
  if (ownsTerminal && terminal.isOurs()) options.foreground = true;
  const job = new Job({ isolation, terminal, ownsTerminal, rewrites });

  let group: ProcessGroup<null, null, null>;
  try {
    group = await spawn(file, argv, options);
  } catch (error) {
    const exitStatus = spawnFailure(file, error);
    await reportFile?.write({ command, error: { ...(error as SpawnError) }, exitStatus });
    return exitStatus;
  }
  job.connect(group);
  // A leader that even SIGKILL cannot end never exits: then the teardown's report comes alone.
  const exit = await Promise.race([group.exited, group.gone.then((report) => (report.empty ? group.exited : null))]);
  job.leaderEnded();
  const report = await group.stop();
  const exitStatus = statusOf(exit, report);
  if (!report.empty) warnOfSurvivors(report.survivors);
  await reportFile?.write({ ...report, command, pid: group.pid, pgid: group.pgid, exit, exitStatus });
  leaveTerminals();
  return exitStatus;
}

function statusOf(exit: ExitResult | null, report: TeardownReport): number {
  if (report.cause === 'timeout') return TIMED_OUT;
  if (exit?.signal != null) return 128 + signalNumber(exit.signal);
  if (exit?.code != null) return exit.code;
  warn('procgroup run: the exit status of the command is unknown');
  return FAILED;
}

/** As env(1) tells them apart: ENOENT from the look-up or from exec is "not found", another refusal "cannot execute". */
function spawnFailure(file: string, error: unknown): number {
  const name = printable(file);
  if (file === '') {
    warn("procgroup run: '': command not found");
    return NOT_FOUND;
  }
  if (!(error instanceof SpawnError) || (error.stage !== 'exec' && error.stage !== 'lookup')) throw error;
  if (error.code === 'ENOENT') {
    warn(`procgroup run: ${name}: command not found`);
    return NOT_FOUND;
  }
  warn(`procgroup run: ${name}: cannot execute: ${error.code}`);
  return NOT_EXECUTABLE;
}

function warnOfSurvivors(survivors: readonly Survivor[]): void {
  for (const { pid, comm, state, wchan, error, heldByTracer } of survivors) {
    const why = heldByTracer ? 'held by its tracer' : (error ?? (wchan === '' ? '' : `in ${wchan}`));
    warn(`procgroup run: ${pid} (${printable(comm)}) survived, state ${state}${why === '' ? '' : `, ${why}`}`);
  }
}
