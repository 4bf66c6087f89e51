// How a supervisor may end, and what the outer world sees of it.

/** Goes on until somebody ends it. */
export const wait = 'setInterval(() => {}, 1e6);';
export const killed = (signal: string): string => `process.kill(process.pid, '${signal}'); ${wait}`;

export interface End {
  name: string;
  source: string;
  code: number | null;
  signal: NodeJS.Signals | null;
  nodeArgs?: string[];
}

/** `source` runs where `group` is the group that is held. */
export const ends: readonly End[] = [
  { name: 'a throw', source: "throw new Error('on purpose');", code: 1, signal: null },
  {
    name: 'a throw in a later turn',
    source: "setImmediate(() => { throw new Error('on purpose'); });",
    code: 1,
    signal: null,
  },
  { name: 'an unhandled rejection', source: "Promise.reject(new Error('on purpose'));", code: 1, signal: null },
  { name: 'process.exit()', source: 'process.exit(7);', code: 7, signal: null },
  {
    name: "process.exit() inside an 'exit' handler",
    source: "process.on('exit', () => process.exit(9)); process.exit(2);",
    code: 9,
    signal: null,
  },
  { name: 'returning', source: 'group.unref();', code: 0, signal: null },
  { name: 'SIGTERM', source: killed('SIGTERM'), code: null, signal: 'SIGTERM' },
  { name: 'SIGINT', source: killed('SIGINT'), code: null, signal: 'SIGINT' },
  { name: 'SIGHUP', source: killed('SIGHUP'), code: null, signal: 'SIGHUP' },
  { name: 'SIGKILL', source: killed('SIGKILL'), code: null, signal: 'SIGKILL' },
  { name: 'SIGSEGV', source: killed('SIGSEGV'), code: null, signal: 'SIGSEGV' },
  { name: 'abort()', source: 'process.abort();', code: null, signal: 'SIGABRT' },
  {
    name: 'V8 out of memory',
    source: 'const all = []; for (;;) all.push(new Array(1e4).fill(all.length));',
    code: null,
    signal: 'SIGABRT',
    nodeArgs: ['--max-old-space-size=24'],
  },
  { name: 'process.reallyExit(), which runs no hook', source: 'process.reallyExit(5);', code: 5, signal: null },
];
