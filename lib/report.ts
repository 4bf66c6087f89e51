import { limitNames, usageOf } from './cgroup.js';
import { ProcessGroupError } from './errors.js';
import { errorName, type RowView } from './native.js';
import { signalName } from './signals.js';
import type { Containment, ExitResult, ResourceUsage, SignalTarget, TeardownCause, TeardownReport } from './types.js';

/** Cause, Evidence, ExitStatusKind and Target of native/core, in their order. */
const CAUSES = ['stop', 'abort', 'timeout', 'dispose', 'exit', 'lease', 'guardian'] as const satisfies TeardownCause[];
const EVIDENCE = ['esrch', 'census', 'leader', 'unverified', 'echild', 'populated', 'namespace'] as const;
const STATUS = ['exact', 'unknown', 'held-by-tracer'] as const;
const TARGETS = ['gone', 'group', 'leader', 'members', 'killer'] as const;
const NOTES = [
  'leader-signalled-alone',
  'numeric-pids',
  'pin-lost',
  'killer-failed',
  'killer-timeout',
  'proc-unreadable',
  'guardian-lost',
  'guardian-refused',
  'cgroup-left',
] as const;

export const causeNumber = (cause: TeardownCause): number => CAUSES.indexOf(cause) + 1;
export const readCause = (cause: number): TeardownCause | null => CAUSES[cause - 1] ?? null;

/** Who got a signal, from the engine's answer: the target's number times 1,000, plus the errno; null where it failed. */
export function readTarget(answer: number): SignalTarget | null {
  return answer % 1000 === 0 ? (TARGETS[Math.trunc(answer / 1000)] as SignalTarget) : null;
}

/** What signal() throws where nobody could be signalled. */
export function signalRefused(name: string, pgid: number, err: number): ProcessGroupError {
  const code = errorName(-err);
  const fields = { code, errno: -err, syscall: 'kill', stage: 'signal' };
  return new ProcessGroupError(`cannot send ${name} to process group ${pgid}: ${code}`, fields);
}

/** For those who cannot be given a report: a dispose, which must not reject. */
export function warnOfSurvivors(pgid: number, report: TeardownReport): void {
  const who = report.survivors.map(({ pid, comm, state }) => `${pid} (${comm}, ${state})`).join(', ');
  process.emitWarning(`process group ${pgid} was not emptied: ${who || 'its members cannot be seen'}`, {
    type: 'ProcessGroupWarning',
    code: 'PROCGROUP_SURVIVORS',
  });
}

export function readExit(row: RowView): ExitResult {
  const status = STATUS[row.at(5)] ?? 'unknown';
  const usage: ResourceUsage | null = row.at(6)
    ? {
        userCPUTime: row.at(7),
        systemCPUTime: row.at(8),
        maxRSS: row.at(9),
        minorPageFault: row.at(10),
        majorPageFault: row.at(11),
        fsRead: row.at(12),
        fsWrite: row.at(13),
        voluntaryContextSwitches: row.at(14),
        involuntaryContextSwitches: row.at(15),
      }
    : null;
  return {
    code: row.at(2) >= 0 ? row.at(2) : null,
    signal: row.at(3) > 0 ? signalName(row.at(3)) : null,
    coreDumped: (row.at(4) & 1) !== 0,
    resourceUsage: usage,
    status,
    limitsHit: limitNames(row.at(4) >> 1),
  };
}

/** Of a leader whose end nobody can tell. */
export function unknownExit(): ExitResult {
  return { code: null, signal: null, coreDumped: false, resourceUsage: null, status: 'unknown', limitsHit: [] };
}

/** A killer's own end, as text: its exit code or signal, or the errno with which it could not be started. */
function killerError(err: number): string | null {
  if (err === 0) return null;
  return err < 0 ? signalName(-err) : `exit ${err}`;
}

export function readReport(row: RowView, covers: Containment): TeardownReport {
  const notes: string[] = NOTES.filter((_, bit) => row.at(5) & (1 << bit));
  const report: TeardownReport = {
    empty: row.at(2) !== 0,
    cause: readCause(row.at(3)),
    evidence: EVIDENCE[row.at(4)] ?? 'unverified',
    covers,
    survivors: [],
    steps: [],
    durationMs: row.at(6),
    notes,
    usage: null,
  };
  const payload = row.payload();
  if (payload === null) return report;
  report.usage = usageOf(payload.usage);
  for (const step of payload.steps) {
    const target = TARGETS[step.target] ?? 'group';
    if (target === 'gone') continue;
    const error = target === 'killer' ? killerError(step.err) : step.err === 0 ? null : errorName(-step.err);
    report.steps.push({ signal: signalName(step.signal), atMs: step.atMs, target, error });
  }
  for (const { err, ...survivor } of payload.survivors) {
    report.survivors.push({ ...survivor, error: err === 0 ? null : errorName(-err) });
  }
  return report;
}
