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
  containment?: 'tree' | 'group';
  random?: () => number;
  lateMs?: number;
}
export function sigkillRound(options?: RoundOptions): Promise<Round>;
export function sigkillRounds(
  rounds: number,
  options?: { lanes?: number; containment?: 'tree' | 'group'; onRound?: (result: Round, done: number) => void },
): Promise<Round[]>;
