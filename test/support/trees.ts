import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { type ProcessGroup, type SpawnOptions, spawn } from '../../dist/index.js';
import { childrenOf, isDead, stat } from './oracle.js';
import { build, member } from './paths.mjs';
import { type Ready, readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';
import { quiet, type Started } from './start.js';

/** Members that leave their group, their parent, their environment or their uid. See native/treeactor.c. */
export const treeactor = `${build}treeactor`;

export type Actor = 'member' | 'treeactor';

/** Spawns `member VERB` or `treeactor VERB` under containment `tree`, unless options say otherwise, and waits for its ready line. */
export async function startTree(
  scenario: Scenario,
  actor: Actor,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Started> {
  const file = actor === 'member' ? member : treeactor;
  const group = (await spawn(file, ['-r', '3', ...args], {
    env: scenario.env,
    containment: 'tree',
    stdio: quiet,
    ...options,
  })) as ProcessGroup;
  const line = group.stdio[3] as Readable;
  const ready = await readReady<Ready>(line);
  line.destroy();
  return { group, ready, pids: [ready.pid, ...ready.members] };
}

/** Processes known by pid and start time: for those that bear no mark, since they cleared their environment. */
export class Pinned {
  readonly #known: { pid: number; startTime: number }[] = [];

  constructor(pids: readonly number[]) {
    for (const pid of pids) {
      const seen = stat(pid);
      if (seen === null) throw new Error(`no process ${pid}`);
      this.#known.push({ pid, startTime: seen.startTime });
    }
  }

  alive(): number[] {
    return this.#known
      .filter(({ pid, startTime }) => !isDead(pid) && stat(pid)?.startTime === startTime)
      .map(({ pid }) => pid);
  }

  kill(): void {
    for (const pid of this.alive()) process.kill(pid, 'SIGKILL');
  }
}

/** Signals of the report's steps, without SIGCONT. */
export function stepSignals(report: { steps: { signal: string }[] }): string[] {
  return report.steps.map((step) => step.signal).filter((signal) => signal !== 'SIGCONT');
}

/** Live guardians that are children of `parent`: by their argv[0], which exec has given them. */
export function guardiansOf(parent = process.pid): number[] {
  return childrenOf(parent).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('procgroup-guardian\0');
    } catch {
      return false;
    }
  });
}
