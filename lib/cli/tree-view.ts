import { groupByParent, type ProcessInfo } from '../procfs.js';
import { formatAge, formatBytes, padStart, plural, printable, type Style, truncate } from './style.js';

interface Marks {
  tee: string;
  corner: string;
  bar: string;
  gap: string;
  sessionLeader: string;
  groupLeader: string;
  dot: string;
}

const UNICODE: Marks = {
  tee: '├─ ',
  corner: '└─ ',
  bar: '│  ',
  gap: '   ',
  sessionLeader: '◆',
  groupLeader: '◇',
  dot: ' · ',
};
const ASCII: Marks = {
  tee: '|- ',
  corner: '`- ',
  bar: '|  ',
  gap: '   ',
  sessionLeader: '#',
  groupLeader: '*',
  dot: ', ',
};

interface Row {
  process: ProcessInfo;
  /** Branches left of the name. */
  prefix: string;
}

/** Parents first, siblings by age; a process whose parent is not among them is a root. */
function layOut(processes: readonly ProcessInfo[], marks: Marks): Row[] {
  const known = new Set(processes.map((process) => process.pid));
  const children = groupByParent(processes);
  const byBirth = (a: ProcessInfo, b: ProcessInfo): number => a.startTime - b.startTime || a.pid - b.pid;
  const rows: Row[] = [];
  const roots = processes.filter((process) => !known.has(process.ppid) || process.ppid === process.pid).sort(byBirth);
  // A stack of our own: a tree may be deeper than JavaScript's.
  const stack = roots.reverse().map((process) => ({ process, prefix: '', below: '' }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { process, prefix, below } = next;
    rows.push({ process, prefix });
    const siblings = (children.get(process.pid) ?? []).filter((child) => child.pid !== process.pid).sort(byBirth);
    for (let at = siblings.length - 1; at >= 0; at--) {
      const last = at === siblings.length - 1;
      stack.push({
        process: siblings[at] as ProcessInfo,
        prefix: below + (last ? marks.corner : marks.tee),
        below: below + (last ? marks.gap : marks.bar),
      });
    }
  }
  return rows;
}

const STATE_WORDS: Readonly<Record<string, string>> = {
  T: 'stopped',
  t: 'traced',
  Z: 'zombie',
  X: 'dead',
  D: 'disk wait',
};

function paintState(state: string, style: Style): string {
  if (state === 'Z' || state === 'X') return style.paint('magenta', state);
  if (state === 'T' || state === 't') return style.paint('yellow', state);
  if (state === 'D') return style.paint('red', state);
  return state === 'R' ? style.paint('green', state) : style.paint('dim', state);
}

function paintName(process: ProcessInfo, text: string, style: Style): string {
  if (process.state === 'Z' || process.state === 'X') return style.paint('magenta', text);
  if (process.state === 'T' || process.state === 't') return style.paint('yellow', text);
  if (process.sid === process.pid || process.pgid === process.pid) return style.paint('bold', text);
  return text;
}

function nameOf(process: ProcessInfo): string {
  const word = STATE_WORDS[process.state];
  const text = printable(process.commandLine === '' ? `[${process.comm}]` : process.commandLine);
  return word === undefined ? text : `${text} (${word})`;
}

function leaderMark(process: ProcessInfo, marks: Marks, style: Style): string {
  if (process.sid === process.pid) return style.paint('cyan', marks.sessionLeader);
  if (process.pgid === process.pid) return style.paint('blue', marks.groupLeader);
  return ' ';
}

/** Columns that a name keeps beside its branches. */
const NAME_ROOM = 12;
const HEADS = ['PID', 'PGID', 'SID', 'S', 'AGE', 'MEM'] as const;

function cellsOf({ pid, pgid, sid, state, ageSeconds, rss }: ProcessInfo): string[] {
  return [String(pid), String(pgid), String(sid), state, formatAge(ageSeconds), formatBytes(rss)];
}

function paintCell(process: ProcessInfo, head: (typeof HEADS)[number], text: string, style: Style): string {
  if (head === 'S') return paintState(text, style);
  const another = (head === 'PGID' && process.pgid !== process.pid) || (head === 'SID' && process.sid !== process.pid);
  return another ? style.paint('dim', text) : text;
}

/** The processes as a forest, one line each, aligned columns to the left of the branches. */
export function renderTree(processes: readonly ProcessInfo[], style: Style): string[] {
  const marks = style.unicode ? UNICODE : ASCII;
  const rows = layOut(processes, marks);
  const table = rows.map(({ process }) => cellsOf(process));
  const widths = HEADS.map((head, at) =>
    table.reduce((width, cells) => Math.max(width, (cells[at] as string).length), head.length),
  );
  const pad = (cells: readonly string[]): string[] => cells.map((cell, at) => padStart(cell, widths[at] as number));
  const heads = `${pad(HEADS).join('  ')}    COMMAND`;
  // Two blanks after each column, then the leader's mark and a blank.
  const room = style.width - widths.reduce((sum, width) => sum + width + 2, 0) - 2;
  const lines = rows.map(({ process, prefix }, at) => {
    const cells = pad(table[at] as string[]).map((cell, column) =>
      paintCell(process, HEADS[column] as (typeof HEADS)[number], cell, style),
    );
    const branches = elide(prefix, Math.max(room - NAME_ROOM, Math.floor(room / 2)), style);
    const name = truncate(nameOf(process), room - branches.length, style);
    const drawn = style.paint('dim', branches) + paintName(process, name, style);
    return `${cells.join('  ')}  ${leaderMark(process, marks, style)} ${drawn}`.trimEnd();
  });
  return [style.paint('dim', truncate(heads, style.width, style)), ...lines];
}

/** A deep tree must leave room for the name: the outer branches go first. */
function elide(prefix: string, width: number, style: Style): string {
  if (prefix.length <= width) return prefix;
  return width < 1 ? '' : (style.unicode ? '…' : '~') + prefix.slice(prefix.length - width + 1);
}

export interface TreeTotals {
  processes: number;
  groups: number;
  sessions: number;
  /** Resident bytes; pages that processes share count once for each of them. */
  rss: number;
  stopped: number;
  zombies: number;
}

export function totalsOf(processes: readonly ProcessInfo[]): TreeTotals {
  const count = (states: string): number => processes.filter((process) => states.includes(process.state)).length;
  return {
    processes: processes.length,
    groups: new Set(processes.map((process) => process.pgid)).size,
    sessions: new Set(processes.map((process) => process.sid)).size,
    rss: processes.reduce((sum, process) => sum + process.rss, 0),
    stopped: count('Tt'),
    zombies: count('ZX'),
  };
}

/** The sums below the tree, and what the marks mean. */
export function renderTotals(processes: readonly ProcessInfo[], style: Style): string[] {
  const marks = style.unicode ? UNICODE : ASCII;
  const totals = totalsOf(processes);
  const parts = [
    style.paint('bold', plural(totals.processes, 'process', 'processes')),
    plural(totals.groups, 'group'),
    plural(totals.sessions, 'session'),
    `${formatBytes(totals.rss)} resident`,
  ];
  if (totals.stopped > 0) parts.push(style.paint('yellow', `${totals.stopped} stopped`));
  if (totals.zombies > 0) parts.push(style.paint('magenta', plural(totals.zombies, 'zombie')));
  const legend = `${marks.sessionLeader} session leader  ${marks.groupLeader} group leader`;
  return [parts.join(marks.dot), style.paint('dim', legend)];
}
