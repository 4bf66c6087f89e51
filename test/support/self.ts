import { type OutputOptions, output } from '../../dist/index.js';
import { member } from './paths.mjs';

type Limit = number | 'unlimited';

/** What `member self` prints: what exec handed to it. */
export interface Self {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  umask: number;
  nice: number;
  /** -1 where the kernel did not tell. */
  pdeathsig: number;
  oom: number;
  argv0: string;
  cwd: string;
  rlimits: Record<string, [soft: Limit, hard: Limit]>;
  fds: Record<string, string>;
  SigBlk: string;
  SigIgn: string;
  SigCgt: string;
  NoNewPrivs: string;
}

export async function self(options: OutputOptions = {}): Promise<Self> {
  const result = await output(member, ['self'], options);
  return JSON.parse(String(result.stdout)) as Self;
}
