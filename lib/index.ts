export { attach } from './attach.js';
export {
  type AdoptMessage,
  type Channels,
  channels,
  type EventChannel,
  type ExitMessage,
  type LeaseMessage,
  type OperationChannel,
  type OperationSubscribers,
  type ScopeMessage,
  type SignalMessage,
  type SpawnedChild,
  type SpawnMessage,
  type TeardownMessage,
} from './diagnostics.js';
export { AbortError, type ErrorFields, ProcessGroupError, SpawnError } from './errors.js';
export { output } from './output.js';
export { ProcessGroup } from './process-group.js';
export { spawn } from './spawn.js';
export { type Leftover, type SweepOptions, sweep } from './sweep.js';
export type * from './types.js';
