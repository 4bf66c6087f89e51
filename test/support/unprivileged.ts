import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { build, root } from './paths.mjs';

/** A uid that no other process of this machine has. */
export const UID = 61_234;

/** Put before a command: it runs as that uid. setpriv(1). */
export const unprivileged = ['setpriv', '--reuid', String(UID), '--regid', String(UID), '--clear-groups'];

/** Why mixed uids cannot be tested here, or ''. */
export function whyNoMixedUids(): string {
  if (process.getuid?.() !== 0) return 'not root';
  const [file = '', ...args] = unprivileged;
  const probe = spawnSync(file, [...args, 'test', '-x', `${build}member`, '-a', '-r', `${root}package.json`]);
  return probe.status === 0 ? '' : `another uid cannot use this folder: ${probe.error ?? probe.stderr}`;
}

/** A copy of mixeduid that becomes root, for the tests of this file; `inert` says why it does not. */
export function useSetuid(): { file: string; inert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-setuid-'));
  const path = join(folder, 'mixeduid');
  afterAll(() => rmSync(folder, { recursive: true }));
  const reason = whyNoMixedUids();
  if (reason) return { file: path, inert: reason };
  chmodSync(folder, 0o755);
  copyFileSync(`${build}mixeduid`, path);
  chownSync(path, 0, 0);
  chmodSync(path, 0o4755);
  const [file = '', ...args] = [...unprivileged, path, 'wander'];
  const works = spawnSync(file, args).status === 7;
  return { file: path, inert: works ? '' : 'setuid programs are inert here (nosuid or no_new_privs)' };
}

export interface Helper {
  child: ChildProcess;
  /** Numbers of its first line. */
  said: number[];
  /** All of its output so far. */
  output(): string;
}

/** Runs mixeduid and waits for its first line. It ends when its stdin is closed. */
export function startMixed(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Helper> {
  const child = spawn(`${build}mixeduid`, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {});
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const line = text.indexOf('\n');
      if (line >= 0) resolve({ child, said: text.slice(0, line).split(' ').map(Number), output: () => text });
    });
    child.on('error', reject).on('close', () => reject(new Error(`mixeduid ${args.join(' ')} ended: ${text}`)));
  });
}
