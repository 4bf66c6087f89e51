// The options of ours that belong to the call which is under way: Node's exec and execFile drop what they do not know,
// and from Node 24 on spawn hands over single values. They travel beside the call, which is synchronous up to the clone.
import { ProcessGroupError } from '../errors.js';
import { binding } from '../native.js';
import { planSpawn } from '../options.js';
import type { SpawnOptions } from '../types.js';
import { bare } from '../validate.js';
import { checkShape } from './node-shape.js';
import type { ContainmentOptions } from './types.js';

const OURS = [
  'containment',
  'isolation',
  'cgroup',
  'teardown',
  'killWaitMs',
  'exitGraceMs',
  'privilegedKiller',
] as const satisfies (keyof ContainmentOptions)[];

let current: ContainmentOptions | undefined;
let depth = 0;

/** The options of the call under way; undefined where none of ours were given. */
export const callOptions = (): ContainmentOptions | undefined => current;
/** True within a call of one of our functions. */
export const withinCall = (): boolean => depth > 0;

/** The options object among the arguments: the first that is an object and no array. */
function findOptions(args: readonly unknown[]): Record<string, unknown> | undefined {
  for (let i = 1; i < args.length && i < 3; i++) {
    const value = args[i];
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  }
  return undefined;
}

function pick(args: readonly unknown[]): ContainmentOptions | undefined {
  const options = findOptions(args);
  if (options === undefined) return undefined;
  let found: Record<string, unknown> | undefined;
  for (const name of OURS) {
    const value = Object.hasOwn(options, name) ? options[name] : undefined; // own ones alone, as Node's
    if (value === undefined) continue;
    found ??= bare<Record<string, unknown>>({});
    found[name] = value;
  }
  return found as ContainmentOptions | undefined;
}

/** The permission model refuses children: Node's own handle says so, in Node's words. */
export function childrenDenied(): boolean {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  return permission !== undefined && !permission.has('child');
}

function loadAddon(): void {
  try {
    binding();
  } catch (cause) {
    if (cause instanceof ProcessGroupError) throw cause;
    throw new ProcessGroupError(
      `the addon cannot be loaded: ${cause instanceof Error ? cause.message : cause}`,
      {
        code: 'ERR_ADDON_REFUSED',
        stage: 'validate',
      },
      { cause },
    );
  }
}

/** Containment and isolation that hold for a child. */
export function place(own: ContainmentOptions | undefined, detached: boolean): SpawnOptions {
  // An empty string is no choice. `detached` opts out of the default of the process, not of what the call itself asks for.
  const byDefault = detached ? undefined : process.env.PROCGROUP_CONTAINMENT || undefined;
  const containment = own?.containment ?? (byDefault as ContainmentOptions['containment']) ?? 'leader';
  // Our own group cannot be torn down, and is not to be seen in a namespace.
  const apart = containment === 'group' || containment === 'namespace';
  const isolation = own?.isolation ?? (detached ? 'session' : apart ? 'group' : 'inherit');
  return bare({ ...own, containment, isolation });
}

/**
 * Runs one of Node's functions so that the child which it makes is started by the engine, with the options of ours that are
 * among `args`. What can be refused is refused here, before Node has made anything.
 */
export function throughEngine<T>(args: readonly unknown[], run: () => T): T {
  checkShape();
  if (!childrenDenied()) loadAddon();
  const own = pick(args);
  if (own !== undefined || process.env.PROCGROUP_CONTAINMENT) {
    const placed = place(own, findOptions(args)?.detached === true);
    planSpawn('x', [], bare<SpawnOptions>({ stdio: 'ignore', env: bare({}), ...placed }));
  }
  const outer = current;
  current = own ?? outer;
  depth++;
  try {
    return run();
  } finally {
    depth--;
    current = outer;
  }
}
