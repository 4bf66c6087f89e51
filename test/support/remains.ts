// What a run that is killed leaves outside of its processes, and how the next one finds it: folders and cgroups whose names
// hold the run's PID namespace and pid.
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stat, waitUntil } from './oracle.mjs';

const space = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';

/** A name that says whose it is: KIND.NAMESPACE.PID */
export const ownName = (kind: string): string => `${kind}.${space}.${process.pid}`;

/** Names of that kind whose process has ended. Of another PID namespace nobody can say. */
export function abandoned(kind: string, names: readonly string[]): string[] {
  return names.filter((name) => {
    const [own, where, pid] = name.split('.');
    return (
      own === kind &&
      where === space &&
      pid !== undefined &&
      /^\d+/.test(pid) &&
      stat(Number.parseInt(pid, 10)) === null
    );
  });
}

/** Where cgroup v2 is mounted, also where it stands below the older hierarchies; undefined: nowhere. */
export const cgroupMount: string | undefined = readFileSync('/proc/self/mounts', 'utf8')
  .split('\n')
  .map((line) => line.split(' '))
  .find(([, , type]) => type === 'cgroup2')?.[1];

/** All cgroups below a directory, as paths below it; parents come first. */
export function cgroupsBelow(directory: string, prefix = ''): string[] {
  let entries: string[] = [];
  try {
    entries = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
  return entries.flatMap((name) => [prefix + name, ...cgroupsBelow(join(directory, name), `${prefix}${name}/`)]);
}

/** Kills who is in a cgroup, and removes it. cgroup.kill, since Linux 5.14. */
export async function removeCgroup(path: string): Promise<void> {
  writeFileSync(join(path, 'cgroup.kill'), '1');
  await waitUntil(() => readFileSync(join(path, 'cgroup.events'), 'utf8').includes('populated 0'), { what: path });
  rmdirSync(path);
}

/** The kind of the parents that test files have for their leaves. */
export const PLACE = 'pgtest';
const FOLDER = 'procgroup-run';

/** Removes what runs that were killed have left. */
async function removeAbandoned(): Promise<void> {
  for (const name of abandoned(FOLDER, readdirSync(tmpdir()))) {
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
  if (cgroupMount === undefined) return;
  for (const name of abandoned(PLACE, readdirSync(cgroupMount))) {
    const all = [name, ...cgroupsBelow(join(cgroupMount, name), `${name}/`)];
    for (const one of all.reverse()) await removeCgroup(join(cgroupMount, one)).catch(() => {});
  }
}

/**
 * Gives this run, and what it starts, a folder for its temporary files. The function that it returns removes the folder, and
 * gives what tests had left in it.
 */
export async function useTemporaryFolder(): Promise<() => string[]> {
  await removeAbandoned();
  const folder = mkdtempSync(join(tmpdir(), `${ownName(FOLDER)}.`));
  chmodSync(folder, 0o1777); // other uids are members of some trees
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  return () => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    const left = readdirSync(folder).filter((name) => name.startsWith('procgroup-'));
    rmSync(folder, { recursive: true, force: true });
    return left;
  };
}
