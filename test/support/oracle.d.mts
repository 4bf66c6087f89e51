export interface Mark {
  id: string;
  env: { PROCGROUP_TEST_MARK: string };
}
export interface Live {
  pid: number;
  state: string;
  pgid: number;
  cmdline: string;
}
export interface Stat {
  pid: number;
  comm: string;
  state: string;
  ppid: number;
  pgid: number;
  sid: number;
  threads: number;
  startTime: number;
}
export interface WaitOptions {
  timeoutMs?: number;
  everyMs?: number;
  what?: string;
}
export function newMark(): Mark;
export function pids(): number[];
export function stat(pid: number): Stat | null;
export function isDead(pid: number): boolean;
export function bears(pid: number, id: string): boolean;
export function alive(id: string): Live[];
export function zombieChildrenOf(pid?: number): number[];
export function childrenOf(pid?: number): number[];
export function openFds(pid?: number): { fd: number; target: string }[];
export function threads(pid?: number): { tid: number; comm: string }[];
export function steadyThreads(pid?: number): number;
export function waitUntil<T>(cond: () => T | Promise<T>, options?: WaitOptions): Promise<NonNullable<T>>;
export function killMarked(id: string, options?: { rounds?: number }): Live[];
