// What multiplies: the bomb's uid, and the file by which native/treeactor_many.h counts and is stopped.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pids } from './oracle.js';
import type { Scenario } from './scenario.js';

/** Processes of the uid, zombies included: they fill its limit too. */
function ofUid(uid: number): number[] {
  return pids().filter((pid) => {
    try {
      return statSync(`/proc/${pid}`).uid === uid;
    } catch {
      return false;
    }
  });
}

/** A uid that nobody has. Suites that run beside each other begin to look at different places: they would share a limit. */
function freeUid(): number {
  for (let i = 0; i < 500; i++) {
    const uid = 61_310 + ((process.pid + i) % 500);
    if (ofUid(uid).length === 0) return uid;
  }
  throw new Error('no uid is free');
}

export const BOMB_UID = freeUid();
export const ofBombUid = (): number[] => ofUid(BOMB_UID);
/** Put before a command: it runs as that uid. setpriv(1). */
export const asBombUid = ['setpriv', '--reuid', String(BOMB_UID), '--regid', String(BOMB_UID), '--clear-groups'];
/** Options of spawn() by which a command does. */
export const bombIdentity = { uid: BOMB_UID, gid: BOMB_UID, groups: [] as number[] };

/** As that uid: SIGKILL to all that it may signal, in one system call that no fork can slip through. kill(2), pid -1. */
export function killBombUid(): void {
  if (ofBombUid().length === 0) return;
  const [file = '', ...args] = asBombUid;
  spawnSync(file, [...args, 'sh', '-c', 'kill -s KILL -- -1']);
}

/** The file by which the actor counts, and is stopped. */
export function sharedFile(scenario: Scenario) {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-many-'));
  chmodSync(folder, 0o777);
  const path = join(folder, 'shared');
  writeFileSync(path, new Uint8Array(16));
  chmodSync(path, 0o666);
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  return {
    path,
    count: () => readFileSync(path).readUInt32LE(4),
    limit: () => readFileSync(path).readUInt32LE(12),
    stop: () => writeFileSync(path, new Uint8Array([1]), { flag: 'r+' }),
  };
}
