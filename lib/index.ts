export { attach } from './attach.js';
export { AbortError, ProcessGroupError, SpawnError } from './errors.js';
export { output } from './output.js';
export { ProcessGroup } from './process-group.js';
export { spawn } from './spawn.js';
export type * from './types.js';
