import { openTicket, type Row, type RowView } from './native.js';
import type { ProcessGroup } from './process-group.js';
import type { ChildStreams } from './streams.js';
import type { Mechanism } from './types.js';

/** What spawn() and attach() hand to a new handle. */
export interface Placement {
  id: number;
  pid: number;
  innerPid: number | null;
  pgid: number;
  sid: number;
  mechanism: Mechanism;
  /** null where no entry of stdio is a pipe. */
  streams: ChildStreams | null;
  /** How many entries stdio has. */
  entries: number;
  /** False where a parent-death signal is armed that only the process itself could disarm. */
  releasable: boolean;
  attached: boolean;
}

/** @internal A ticket for a handle that may be made later: rows before that are not expected and are dropped. */
export function openHandleTicket(first: (type: Row, row: RowView, ticket: number) => ProcessGroup | undefined): number {
  let handle: ProcessGroup | undefined;
  const ticket = openTicket((type, row) => {
    if (handle !== undefined) handle.receive(type, row);
    else handle = first(type, row, ticket);
  });
  return ticket;
}
