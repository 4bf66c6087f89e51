// Containments that the kernel keeps: a place for the leaves of one test file, and an oracle for them that reads the
// hierarchy itself.
import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { CgroupOptions, SpawnOptions } from '../../dist/index.js';
import { cgroupMount, cgroupsBelow, ownName, PLACE, removeCgroup } from './remains.js';
import { UID } from './unprivileged.js';

export { cgroupMount, cgroupsBelow };

export type Box = 'cgroup' | 'namespace';
export const boxes: readonly Box[] = ['cgroup', 'namespace'];

/** Why leaves cannot be made here, or ''. */
export function whyNoCgroup(): string {
  if (cgroupMount === undefined) return 'no cgroup v2 hierarchy is mounted';
  const probe = join(cgroupMount, `pgprobe.${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return '';
  } catch (error) {
    return `no cgroup can be made in ${cgroupMount}: ${(error as Error).message}`;
  }
}

/** Why PID namespaces cannot be made here by this uid, or ''. unshare(1). */
export function whyNoNamespace(): string {
  const flags = ['--pid', '--fork', '--mount-proc', ...(process.getuid?.() === 0 ? [] : ['--map-current-user'])];
  const probe = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
  return probe.status === 0 ? '' : `no PID namespace here: ${probe.error?.message ?? probe.stderr.trim()}`;
}

const reasons: Record<Box, () => string> = { cgroup: whyNoCgroup, namespace: whyNoNamespace };

/** The boxes that work here; for the others the reason is printed. */
export function usableBoxes(file: string): readonly Box[] {
  return boxes.filter((box) => announce(`${file} under ${box}`, reasons[box]()) === '');
}

/** Pids as they are outside: those that a member of a PID namespace says are its own. proc(5), NSpid. */
export function outside(box: Box, candidates: readonly number[], inner: readonly number[]): number[] {
  if (box !== 'namespace') return [...inner];
  const known = new Map(
    candidates.map((pid) => {
      const [, names = ''] = /^NSpid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
      return [Number(names.split('\t').at(-1)), pid] as const;
    }),
  );
  return inner.map((pid) => known.get(pid) ?? Number.NaN);
}

/** Why this kernel's v2 hierarchy has not got a controller, or ''. */
export function whyNoController(name: string): string {
  const have = cgroupMount === undefined ? '' : readFileSync(join(cgroupMount, 'cgroup.controllers'), 'utf8');
  return have.split(/\s/).includes(name)
    ? ''
    : `the v2 hierarchy has no ${name} controller (it has: ${have.trim() || 'none'})`;
}

/** Prints why a file's tests are skipped. */
export function announce(file: string, reason: string): string {
  if (reason) process.stderr.write(`${file}: skipped, ${reason}\n`);
  return reason;
}

/** Processes of one cgroup. */
export function processesIn(directory: string): number[] {
  return readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
}

export interface Place {
  /** The directory below which the file's leaves are made. */
  readonly path: string;
  leaves(): string[];
  /** Hands it to UID; whoever runs as that uid must be started in it: see `inside`. */
  delegate(): void;
  /** Put before a command: it is moved there first. */
  inside(): string[];
}

/** A parent of its own for the leaves of a file; after each test none is left in it. Call at the top of the file. */
export function usePlace(): Place {
  const path = join(cgroupMount ?? '/', ownName(PLACE));
  const leaves = () => cgroupsBelow(path);
  beforeAll(() => {
    if (cgroupMount !== undefined) mkdirSync(path);
  });
  afterEach(async () => {
    if (cgroupMount === undefined) return;
    const left = leaves();
    for (const name of left.reverse()) await removeCgroup(join(path, name));
    expect(left, 'cgroups that the test left behind').toEqual([]);
  });
  afterAll(() => {
    if (cgroupMount !== undefined) rmdirSync(path);
  });
  return {
    path,
    leaves,
    delegate() {
      for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'])
        chownSync(join(path, file), UID, UID);
    },
    inside: () => ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', path],
  };
}

/**
 * A function that gives the file's parent controllers for its own children: only then may it hand them down. What was handed
 * down for a test is taken back after it.
 */
export function useControllers(place: Place): (...controllers: string[]) => void {
  const given = (directory: string) =>
    readFileSync(join(directory, 'cgroup.subtree_control'), 'utf8').trim().split(' ').filter(Boolean);
  const before = new Set(cgroupMount === undefined ? [] : given(cgroupMount));
  afterEach(() => {
    if (cgroupMount === undefined) return;
    for (const directory of [place.path, cgroupMount]) {
      for (const name of given(directory)) {
        if (!before.has(name)) writeFileSync(join(directory, 'cgroup.subtree_control'), `-${name}`);
      }
    }
  });
  return (...controllers) => {
    for (const name of controllers) writeFileSync(join(cgroupMount ?? '', 'cgroup.subtree_control'), `+${name}`);
  };
}

/** Options that ask for a box, with its leaf in `place`. */
export function boxed(box: Box, place: Place, cgroup: CgroupOptions = {}): SpawnOptions {
  return box === 'namespace' ? { containment: box } : { containment: box, cgroup: { parent: place.path, ...cgroup } };
}

/** What proves such a box empty. */
export const evidenceOf = { cgroup: 'populated', namespace: 'namespace' } as const;

/** Whether a program runs with that uid and capabilities. setpriv(1). */
export function runs(...command: string[]): boolean {
  const [file = '', ...args] = command;
  return spawnSync(file, args, { stdio: 'ignore' }).status === 0;
}
