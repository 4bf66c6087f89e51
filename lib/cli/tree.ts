import { descendants, type ProcessInfo, readProcesses } from '../procfs.js';
import { parseStrict, UsageError } from './parse.js';
import { printLines, warn } from './print.js';
import { styleFor } from './style.js';
import { renderTotals, renderTree, totalsOf } from './tree-view.js';

export const TREE_HELP = `Usage: procgroup tree [options] [pid]...

Shows the processes below pid (default: all that are no kernel threads) with process group, session, state, age and
resident memory. Group leaders, session leaders, stopped processes and zombies are marked.

  --json    one JSON object instead of the drawing
  --help    this text

Exit status: 0; 1 where a pid is not there; 125 on bad use or failure.
`;

function parsePid(text: string): number {
  const pid = /^\d+$/.test(text) ? Number(text) : 0;
  if (pid < 1 || !Number.isSafeInteger(pid)) throw new UsageError(`'${text}' is not a pid`);
  return pid;
}

function toJson(info: ProcessInfo): object {
  const { pid, ppid, pgid, sid, state, comm, commandLine, startTime, ageSeconds, rss, threads } = info;
  return {
    pid,
    ppid,
    pgid,
    sid,
    state,
    comm,
    commandLine,
    startTime,
    ageSeconds: Math.round(ageSeconds * 100) / 100,
    rss,
    threads,
    groupLeader: pgid === pid,
    sessionLeader: sid === pid,
  };
}

export async function tree(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseStrict(args, {
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help === true) {
    await printLines([TREE_HELP.trimEnd()]);
    return 0;
  }
  const pids = positionals.map(parsePid);
  const all = readProcesses();
  const chosen = new Map<number, ProcessInfo>();
  let status = 0;
  if (pids.length === 0) {
    for (const info of all.values()) if (!info.kernelThread) chosen.set(info.pid, info);
  }
  for (const pid of pids) {
    const found = descendants(all, pid);
    for (const info of found) chosen.set(info.pid, info);
    if (found.length === 0) {
      warn(`procgroup tree: no process ${pid}`);
      status = 1;
    }
  }
  const processes = [...chosen.values()];
  if (values.json === true) {
    await printLines([JSON.stringify({ processes: processes.map(toJson), totals: totalsOf(processes) }, null, 2)]);
  } else if (processes.length > 0) {
    const style = styleFor(process.stdout);
    await printLines([...renderTree(processes, style), '', ...renderTotals(processes, style)]);
  }
  return status;
}
