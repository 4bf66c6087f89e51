import { access } from 'node:fs/promises';
import { afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { alive, killMarked, newMark, openFds, steadyThreads, waitUntil, zombieChildrenOf } from './oracle.js';

export interface Scenario {
  /** The mark of the running test. */
  readonly id: string;
  /** process.env with that mark. */
  readonly env: NodeJS.ProcessEnv;
  /** Live processes of the running test. */
  alive(): ReturnType<typeof alive>;
  /** For negative controls and for what a test leaves running on purpose: killed after the test, without failing it. */
  leaves(): void;
  /** Run after the test, last one first. */
  defer(cleanup: () => unknown): void;
}

/** Gives each test of a file its own mark. Whatever bears it after the test is killed, and fails the test. */
export function useScenario(): Scenario {
  let mark = newMark();
  let mayLeave = false;
  let cleanups: (() => unknown)[] = [];
  // Starts libuv's pool: from Node 22 on nothing has done so yet, and its threads would count as somebody's.
  beforeAll(() => access('/'));
  beforeEach(() => {
    mark = newMark();
    mayLeave = false;
    cleanups = [];
  });
  afterEach(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
    // A guardian tells that its tree is empty, and then ends: `exited` and `gone` do not wait for that.
    await waitUntil(() => !alive(mark.id).some(({ cmdline }) => cmdline.includes('--guard=')), {
      timeoutMs: 2_000,
    }).catch(() => {});
    const left = killMarked(mark.id);
    if (!mayLeave) expect(left, 'processes that the test left behind').toEqual([]);
  });
  return {
    get id() {
      return mark.id;
    },
    get env() {
      return { ...process.env, ...mark.env };
    },
    alive: () => alive(mark.id),
    leaves: () => {
      mayLeave = true;
    },
    defer: (cleanup) => {
      cleanups.push(cleanup);
    },
  };
}

export interface Footprint {
  fds: string[];
  threads: number;
  zombies: number;
}

/** What this process holds: to compare before and after. Sockets and pipes are named by kind, not by inode. */
export function footprint(): Footprint {
  return {
    fds: openFds().map(({ fd, target }) => `${fd} ${target.replace(/\[\d+\]/, '')}`),
    threads: steadyThreads(),
    zombies: zombieChildrenOf().length,
  };
}
