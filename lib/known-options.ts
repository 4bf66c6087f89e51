import type { SpawnOptions, TeardownOptions } from './types.js';
import { invalidValue } from './validate.js';

/** Every name that `T` has, and no other: the compiler holds such a list against the type. */
export type NamesOf<T> = { readonly [K in keyof T]-?: true };

export const TEARDOWN_NAMES: NamesOf<TeardownOptions> = {
  teardown: true,
  killWaitMs: true,
  exitGraceMs: true,
  privilegedKiller: true,
};

export const SPAWN_NAMES: NamesOf<SpawnOptions> = {
  ...TEARDOWN_NAMES,
  cwd: true,
  env: true,
  argv0: true,
  shell: true,
  isolation: true,
  containment: true,
  cgroup: true,
  stdio: true,
  foreground: true,
  umask: true,
  nice: true,
  rlimits: true,
  oomScoreAdj: true,
  parentDeathSignal: true,
  strayFds: true,
  lifetime: true,
  uid: true,
  gid: true,
  groups: true,
  signal: true,
  timeoutMs: true,
  leaseMs: true,
  drainMs: true,
};

/**
 * Refuses what `names` does not hold: a misspelt `containment` would otherwise leave the default in force, and nobody would
 * know. A member that is undefined is as good as none.
 */
export function onlyKnown(name: string, options: object, names: object): void {
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(names, key)) continue;
    const value = (options as Record<string, unknown>)[key];
    if (value === undefined) continue;
    const close = nearest(key, Object.keys(names));
    const hint = close === undefined ? '' : ` (did you mean '${close}'?)`;
    throw invalidValue(`${name}.${key}`, `is no known option${hint}`, value);
  }
}

/** The name that is meant where a third of the letters, or fewer, differ. */
function nearest(given: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const longer = Math.max(given.length, name.length);
    const most = Math.max(1, Math.floor(longer / 3));
    if (Math.abs(given.length - name.length) > most) continue;
    const edits = distance(given.toLowerCase(), name.toLowerCase());
    if (edits <= most && edits < least) [best, least] = [name, edits];
  }
  return best;
}

/** Letters to change, add, drop or swap with their neighbour: optimal string alignment. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const [up, left, across] = [last[j] as number, row[j - 1] as number, last[j - 1] as number];
      let edits = Math.min(up + 1, left + 1, across + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) edits = Math.min(edits, (before[j - 2] as number) + 1);
      row.push(edits);
    }
    before = last;
    last = row;
  }
  return last[b.length] as number;
}
