import type { Readable } from 'node:stream';

export interface Ready {
  verb: string;
  pid: number;
  members: number[];
}
export function readReady<T = Ready>(stream: Readable): Promise<T>;
