import { fs } from './builtins.js';

const CAP_SETGID = 6n;

/**
 * Whether setgroups(2) is granted to this process: CAP_SETGID, and no user namespace that denies it. capabilities(7),
 * user_namespaces(7).
 */
export function maySetGroups(): boolean {
  try {
    const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(fs().readFileSync('/proc/self/status', 'latin1')) ?? [];
    if (!(BigInt(`0x${mask}`) & (1n << CAP_SETGID))) return false;
    return fs().readFileSync('/proc/self/setgroups', 'latin1').trim() !== 'deny';
  } catch {
    return process.geteuid?.() === 0;
  }
}
