// The guardian executable as a command of its own, and in a PID namespace.
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { childrenOf, waitUntil } from './oracle.js';
import { root } from './paths.mjs';
import { readReady } from './ready.mjs';

export const guardian = process.env.PROCGROUP_TEST_GUARDIAN ?? `${root}build/Release/procgroup-guardian`;

/** Inits of containers that do the same job, as Debian ships them. */
export const INITS: Readonly<Record<string, readonly string[]>> = {
  'procgroup-guardian': [guardian, '--'],
  tini: ['/usr/bin/tini', '--'],
  'dumb-init': ['/usr/bin/dumb-init', '--'],
};

export function isInstalled(name: string): boolean {
  const there = existsSync(INITS[name]?.[0] ?? '');
  if (!there) console.log(`skipped for ${name}: it is not installed`);
  return there;
}

// --kill-child: the namespace dies with a test that is killed.
const UNSHARE = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const NAMESPACE = ['unshare', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']), ...UNSHARE];

/** Why no PID namespace can be made here, or ''. */
export function whyNoPidNamespace(): string {
  const [file = '', ...args] = NAMESPACE;
  const probe = spawnSync(file, [...args, 'true'], { encoding: 'utf8' });
  const why = probe.status === 0 ? '' : String(probe.error ?? probe.stderr).trim();
  if (why !== '') console.log(`skipped: no PID namespace: ${why}`);
  return why;
}

export function start(command: readonly string[], options: SpawnOptions): ChildProcess {
  const [file = '', ...args] = command;
  return spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
}

/** Starts the command as PID 1 of a PID namespace. The child is unshare, which hands the exit status on. */
export const startInit = (command: readonly string[], options: SpawnOptions): ChildProcess =>
  start([...NAMESPACE, ...command], options);

/** The number that PID 1 of the namespace has out here. */
export async function outerPid(unshare: ChildProcess): Promise<number> {
  const pid = await waitUntil(() => childrenOf(unshare.pid)[0], { what: 'PID 1' });
  return pid as number;
}

export const ready = (child: ChildProcess) => readReady(child.stdout as NonNullable<typeof child.stdout>);

/** What the child prints from now on. */
export function collect(child: ChildProcess): () => string {
  let shown = '';
  child.stdout?.on('data', (text) => {
    shown += String(text);
  });
  child.stdout?.resume();
  return () => shown;
}
