// Node's own modules, each loaded at its first use. Whatever `import 'procgroup'` reaches takes them from here: an import
// statement, and what the module loads in turn, would be paid for by every program that has the package at all. Since Node
// 20.16 and 22.3.
const load = process.getBuiltinModule;

let fsModule: typeof import('node:fs') | undefined;
let osModule: typeof import('node:os') | undefined;
let utilModule: typeof import('node:util') | undefined;
let mainThread: boolean | undefined;

export const fs = (): typeof import('node:fs') => {
  fsModule ??= load('node:fs');
  return fsModule;
};
export const os = (): typeof import('node:os') => {
  osModule ??= load('node:os');
  return osModule;
};
/**
 * An import statement would do more than load it: from Node 24 on that reads every export, and one of them looks at stderr. A
 * stderr that is a pipe becomes non-blocking by it, for everybody who writes to that pipe.
 */
export const util = (): typeof import('node:util') => {
  utilModule ??= load('node:util');
  return utilModule;
};
/** False in a worker_thread. */
export const isMainThread = (): boolean => {
  mainThread ??= load('node:worker_threads').isMainThread;
  return mainThread;
};

// Rare enough to be looked up each time.
export const diagnosticsChannel = (): typeof import('node:diagnostics_channel') => load('node:diagnostics_channel');
export const module = (): typeof import('node:module') => load('node:module');
export const net = (): typeof import('node:net') => load('node:net');
export const path = (): typeof import('node:path') => load('node:path');
export const url = (): typeof import('node:url') => load('node:url');
export const stream = (): typeof import('node:stream') => load('node:stream');
