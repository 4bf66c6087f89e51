import type { SpawnOptions } from '../../dist/index.js';
import type { Live } from './oracle.mjs';
export interface Round {
  delayMs: number;
  before: number;
  code: number | null;
  signal: string | null;
  ms: number;
  left: Live[];
  survivors: Live[];
}
export interface RoundOptions {
  containment?: SpawnOptions['containment'];
  /** More of the spawn options. */
  options?: SpawnOptions;
  /** How many trees the supervisor has at a time (default 1). */
  trees?: number;
  /** Called with the supervisor's pid just before it is killed. */
  victims?: (supervisor: number) => void;
  random?: () => number;
  lateMs?: number;
}
export function sigkillRound(options?: RoundOptions): Promise<Round>;
export function sigkillRounds(
  rounds: number,
  options?: RoundOptions & { lanes?: number; onRound?: (result: Round, done: number) => void },
): Promise<Round[]>;
