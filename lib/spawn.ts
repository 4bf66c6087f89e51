import { fs } from './builtins.js';
import { cgroupFailure, nativeCgroup } from './cgroup.js';
import { channels, type SpawnMessage, Trace } from './diagnostics.js';
import { AbortError, type ProcessGroupError, SpawnError } from './errors.js';
import { guardianFailed } from './guardian-path.js';
import { openHandleTicket } from './handle-ticket.js';
import { lend } from './lent-streams.js';
import { namespaceFailure, namespacesMade } from './namespace.js';
import { dropTicket, engine, errorName, hold, letGo, packed, Row, type RowView, stageName } from './native.js';
import { onAbort } from './on-abort.js';
import { planSpawn, type SpawnPlan } from './options.js';
import { ProcessGroup } from './process-group.js';
import { signalName } from './signals.js';
import { ChildStreams, prepareStreams } from './streams.js';
import { strongest } from './strongest.js';
import type { DefaultStdio, Mechanism, Spawned, SpawnOptions, StdioOption } from './types.js';
import { bare, record, snapshot, snapshotOptions } from './validate.js';

/** Pin of native/core/group.h, in its order. */
const PINS = ['pidfd-group', 'zombie-pin', 'member-pidfds', 'leader-only'] as const;
const ECANCELED = 125;

export const pinName = (pin: number): Mechanism['groupSignal'] => PINS[pin] ?? 'leader-only';

/**
 * Starts `file` as the leader of a process group and resolves once exec has succeeded.
 *
 * Rejects with a SpawnError naming the stage that failed (code as Node's, negative errno, syscall, stage, path), with an
 * AbortError where options.signal fired first, with a ProcessGroupError (ERR_...) for a bad argument. Nothing is left of a
 * spawn that failed. clone(2), execve(2).
 */
export function spawn<const S extends StdioOption = DefaultStdio>(
  file: string,
  args?: readonly string[],
  options?: SpawnOptions<S>,
): Promise<Spawned<S>>;
export function spawn<const S extends StdioOption = DefaultStdio>(
  file: string,
  options?: SpawnOptions<S>,
): Promise<Spawned<S>>;
export async function spawn(file: string, second?: unknown, third?: unknown): Promise<ProcessGroup> {
  const listed = Array.isArray(second) || second === undefined || second === null;
  const options: SpawnOptions = record('options', (listed ? third : second) ?? {});
  const args = listed ? (second ?? []) : [];
  if (options.containment !== 'strongest') return startGroup(planSpawn(file, args, options));
  const [words, kept] = [snapshot(args), snapshotOptions(options)];
  return strongest(kept, (containment) => startGroup(planSpawn(file, words, bare({ ...kept, containment }))));
}

function startGroup(plan: SpawnPlan): Promise<ProcessGroup> {
  if (plan.signal?.aborted) return Promise.reject(new AbortError(plan.signal.reason));
  const native = engine();
  if (plan.stdio.piped) prepareStreams();
  const trace = traceOf(plan);

  return new Promise((resolve, reject) => {
    const abort = () => native.cancel(ticket);
    const returned = lend(plan.stdio.lent);
    const fail = (error: Error) => {
      returned(false);
      trace?.fail(error);
      reject(error);
    };
    let unfollow = () => {};
    const settled = () => {
      unfollow();
      letGo();
    };
    const ticket = openHandleTicket((type, row, ticket) => {
      if (type === Row.Spawned) {
        const payload = row.payload();
        const streams = openStreams(plan, payload?.fds ?? []);
        const open = streams instanceof Error ? null : streams;
        const group = makeHandle(plan, row, ticket, payload?.leaf ?? '', open);
        // It fired while this news was on its way: spawn has not settled yet, so nothing may be left of it.
        const aborted = plan.signal?.aborted ? new AbortError(plan.signal.reason) : null;
        const unwanted = aborted ?? (streams instanceof Error ? streams : null);
        if (unwanted) {
          void group
            .kill()
            .then(() => open?.close())
            .then(() => fail(unwanted));
        } else {
          if (plan.signal) group.follow(plan.signal);
          returned(true);
          trace?.succeed(group);
          resolve(group);
        }
        settled();
        return group;
      }
      dropTicket(ticket);
      settled();
      const failure = readFailure(plan, row);
      void failure.then(fail);
      return undefined;
    });
    if (plan.signal) unfollow = onAbort(plan.signal, abort);
    hold();
    const { file, argv, env, cwd, stdio, killer, numbers, guardian, cgroup } = plan;
    const box = cgroup && nativeCgroup(cgroup);
    const begin = () => native.spawn(ticket, file, argv, env, cwd, stdio.paths, killer, packed(numbers), guardian, box);
    if (trace === undefined) begin();
    else trace.run(begin);
  });
}

function traceOf(plan: SpawnPlan): Trace<SpawnMessage> | undefined {
  if (!channels.spawn.hasSubscribers) return undefined;
  const { file, cwd, isolation, containment } = plan;
  return new Trace(channels.spawn, { file, argv: plan.argv.split('\0'), cwd, isolation, containment });
}

/** An error where Node refuses to open them, as its permission model may: then their descriptors are closed. */
function openStreams(plan: SpawnPlan, fds: number[]): ChildStreams | Error | null {
  if (fds.length === 0) return null;
  try {
    return new ChildStreams(fds, plan.stdio.files.length, plan.drainMs);
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === undefined) return error as Error;
    return new SpawnError(`spawn ${plan.file}: pipes: ${message}`, { code, stage: 'stdio' }, { cause: error });
  }
}

function makeHandle(plan: SpawnPlan, row: RowView, ticket: number, leaf: string, streams: ChildStreams | null) {
  const mechanism: Mechanism = Object.freeze({
    isolation: plan.isolation,
    containment: plan.containment,
    spawn: row.at(7) ? 'clone3' : 'clone',
    exitNotice: row.at(8) ? 'pidfd' : 'waitid',
    groupSignal: pinName(row.at(6)),
    parentDeathSignal: plan.parentDeathSignal,
    guardianPid: row.at(9) || null,
    cgroupPath: leaf || null,
    namespaces: plan.containment === 'namespace' ? namespacesMade(row.at(11) !== 0) : [],
  });
  return new ProcessGroup(
    {
      id: row.at(2),
      pid: row.at(3),
      innerPid: row.at(10) || null,
      pgid: row.at(4),
      sid: row.at(5),
      mechanism,
      streams,
      entries: plan.stdio.files.length,
      releasable: plan.guardian !== null || plan.parentDeathSignal === 'none',
      attached: false,
    },
    ticket,
  );
}

async function readFailure(plan: SpawnPlan, row: RowView): Promise<ProcessGroupError | AbortError> {
  const [err, stage, index, killedBy] = [row.at(2), stageName(row.at(3)), row.at(4), row.at(5)];
  const { leaf, syscall = '' } = row.payload();
  if (plan.signal?.aborted && (err === ECANCELED || killedBy !== 0)) return new AbortError(plan.signal.reason);
  if (err === ECANCELED) {
    return new SpawnError(`spawn ${plan.file}: the process is ending`, { code: 'ERR_PROCESS_EXITING', stage: 'clone' });
  }
  if (killedBy !== 0) {
    const message = `spawn ${plan.file}: killed by ${signalName(killedBy)} before exec, at stage ${stage}`;
    return new SpawnError(message, { code: 'ERR_KILLED_BEFORE_EXEC', stage, syscall });
  }
  const code = errorName(-err);
  const fields = { code, errno: -err, syscall, stage };
  if (stage === 'guardian') guardianFailed(plan.guardian, code);
  // ENOTSUP of the clone: into a cgroup that can hold no processes.
  if (plan.cgroup !== null && (stage === 'cgroup' || (stage === 'clone' && code === 'ENOTSUP')))
    return cgroupFailure(plan.file, plan.cgroup, { code, errno: -err, syscall, index, leaf });
  if (stage === 'namespace') return namespaceFailure(plan.file, { code, errno: -err, index });
  if (stage === 'chdir')
    return new SpawnError(`spawn ${plan.file} ${code}: chdir '${plan.cwd ?? '.'}'`, {
      ...fields,
      path: plan.cwd ?? '',
    });
  if (stage === 'stdio') {
    const path = plan.stdio.files[index];
    const what = path === undefined ? `stdio[${index}]` : `stdio[${index}] '${path}'`;
    return new SpawnError(
      `spawn ${plan.file} ${code}: ${syscall} of ${what}`,
      path === undefined ? fields : { ...fields, path },
    );
  }
  if (stage === 'exec' || stage === 'lookup') {
    // ENOENT for a file that is there: what its first line (or its ELF header) names is not.
    const interpreter = code === 'ENOENT' && stage === 'exec' && (index === -2 || (await exists(plan.file)));
    const why = interpreter
      ? ': the interpreter that it names is missing'
      : stage === 'lookup'
        ? ': not found in PATH'
        : '';
    return new SpawnError(`spawn ${plan.file} ${code}${why}`, { ...fields, path: plan.file });
  }
  return new SpawnError(`spawn ${plan.file} ${code}: ${syscall} at stage ${stage}`, fields);
}

async function exists(file: string): Promise<boolean> {
  if (!file.startsWith('/')) return false;
  return fs()
    .promises.access(file)
    .then(
      () => true,
      () => false,
    );
}
