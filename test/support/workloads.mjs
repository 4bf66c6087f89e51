// Workloads of the tests: each export is called in a Node of its own.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import inspector from 'node:inspector';

/** The number of the channel in a workload's process. */
const CHANNEL = 3;
/** A header as workload-channel.ts reads it. */
export function head(length) {
  const bytes = Buffer.from('PGW1\0\0\0\0', 'latin1');
  bytes.writeUInt32LE(length, 4);
  return bytes;
}
const forever = () => new Promise(() => setInterval(() => {}, 1_000_000));

export default (payload) => payload;
export const nothing = () => {};

/** What the process was given, and what it is. */
export function self() {
  const text = (name) => readFileSync(`/proc/self/${name}`, 'latin1');
  return {
    pid: process.pid,
    ppid: process.ppid,
    execPath: process.execPath,
    execArgv: process.execArgv,
    argv: process.argv,
    cwd: process.cwd(),
    env: { ...process.env },
    cmdline: text('cmdline'),
    environ: text('environ'),
    inspector: inspector.url() ?? null,
    loaded: globalThis.loaded ?? [],
    stdin: readFileSync(0, 'latin1'),
  };
}

export const bytes = (count) => randomBytes(count);
export const lengthOf = (payload) => payload.length;

export async function count(to, { progress }) {
  for (let i = 0; i < to; i++) await progress(i);
  return 'counted';
}

export async function pours100ThenExits(code, { progress }) {
  for (let i = 0; i < 100; i++) await progress(i);
  process.exit(code);
}

/** Progress of `size` bytes each, as fast as back-pressure lets it; each says how many were sent before. */
export async function pour({ times, size }, { progress }) {
  for (let i = 0; i < times; i++) await progress({ i, filler: Buffer.alloc(size) });
}

export async function hold(payload, { progress }) {
  await progress({ pid: process.pid, payload: payload?.length });
  return forever();
}

export const uncloneableResult = () => ({ list: [1, { callback() {} }] });
export async function uncloneableProgress(_, { progress }) {
  await progress({ socket: Symbol('x') });
}
export async function caughtProgress(_, { progress }) {
  try {
    await progress(() => {});
  } catch (error) {
    return { code: error.code, path: error.path, name: error.name };
  }
}

export class Refused extends TypeError {
  name = 'Refused';
  constructor(message, fields) {
    super(message);
    Object.assign(this, fields);
  }
}

export function throws(kind) {
  const errors = {
    fields: () =>
      new Refused('no entry', { status: 403, when: new Date(0), tags: new Map([['a', 1]]), again: () => {} }),
    cause: () => new Error('outer', { cause: new RangeError('inner', { cause: { plain: [1, 2n] } }) }),
    aggregate: () =>
      new AggregateError([new TypeError('one'), Object.assign(new Error('two'), { code: 'E2' })], 'both'),
    cycle: () => {
      const error = new Error('round');
      error.cause = new Error('and round', { cause: error });
      return error;
    },
    dom: () => new DOMException('gone', 'AbortError'),
    system: () => readFileSync('/no/such/file'),
    getter: () =>
      Object.defineProperty(new Error('hostile'), 'trap', {
        get: () => {
          throw new Error('sprung');
        },
        enumerable: true,
      }),
    ring: () => {
      const errors = [new RangeError('in the ring')];
      errors.push(errors);
      return Object.assign(new TypeError('round'), { errors, twice: errors, code: 'E3' });
    },
    deep: () => {
      let errors = [new Error('deepest')];
      for (let i = 0; i < 10_000; i++) errors = [new Error(String(i)), errors];
      return Object.assign(new TypeError('deep'), { errors });
    },
    textless: () => Object.assign(new TypeError('x'), { message: Object.create(null), code: 'E4' }),
    proxied: () =>
      new Proxy(new Error('behind'), {
        ownKeys() {
          throw new Error('sprung');
        },
        getPrototypeOf() {
          throw new Error('sprung');
        },
      }),
    inspected: () =>
      Object.assign(new Error('hostile'), {
        trap: {
          fn() {},
          [Symbol.for('nodejs.util.inspect.custom')]() {
            throw 1;
          },
        },
      }),
    huge: () => Object.assign(new Error(`big ${'x'.repeat(5_000)}`), { filler: Buffer.alloc(2 << 20) }),
    string: () => 'just text',
    undefined: () => undefined,
    proxy: () => new Proxy({}, {}),
    foreign: () => ({ name: 'Error', message: 'no error' }),
    workload: () => Object.assign(new Error('x'), { code: 'ERR_WORKLOAD_EXITED' }),
  };
  throw errors[kind]();
}

export const rejectsLater = async () => {
  await new Promise((resolve) => setImmediate(resolve));
  throw new SyntaxError('later');
};
export const uncaught = () => {
  setImmediate(() => {
    throw new Refused('out of band', { status: 500 });
  });
  return forever();
};
export const unhandled = () => {
  Promise.reject(new RangeError('nobody looked'));
  return forever();
};
export function handledByItself() {
  process.on('uncaughtException', () => {});
  setImmediate(() => {
    throw new Error('ignored');
  });
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve, 'went on')));
}

export const exits = (code) => process.exit(code);
export const exitsByCode = (code) => {
  process.exitCode = code;
  return 'value';
};
export const dies = (signal) => {
  process.kill(process.pid, signal);
  return forever();
};
/** Half a message, then the end. */
export function diesInMessage({ announced, sent, signal }) {
  writeSync(CHANNEL, Buffer.concat([head(announced), Buffer.alloc(sent)]));
  process.kill(process.pid, signal);
  return forever();
}
export function writes(bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(CHANNEL, bytes, at);
  return forever();
}
/** A message that claims `announced` bytes, and bytes without end. */
export function floods(announced) {
  writeSync(CHANNEL, head(announced));
  const chunk = Buffer.alloc(65_536);
  for (;;) {
    try {
      writeSync(CHANNEL, chunk);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}
export const closesChannel = () => {
  closeSync(CHANNEL);
  return forever();
};
export const neverSettles = () => new Promise(() => {});
export const busy = () => {
  for (;;);
};

export function prints({ stdout = '', stderr = '', times = 1 }) {
  for (let i = 0; i < times; i++) {
    if (stdout) writeSync(1, stdout);
    if (stderr) writeSync(2, stderr);
  }
  console.log('end of stdout');
  console.error('end of stderr');
  return times;
}

/** Ends as told when its signal fires. */
export function heeds({ file, answer }, { signal, progress }) {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => {
      const { reason } = signal;
      writeFileSync(file, `aborted: ${reason?.name} ${reason?.message ?? reason} ${reason?.detail}\n`);
      if (answer === 'value') resolve('in spite of it');
      if (answer === 'reason') reject(reason);
      if (answer === 'string') reject('told to');
      if (answer === 'nothing') forever();
    });
    progress('listening');
  });
}
export const ignoresTerm = async (_, { progress }) => {
  process.on('SIGTERM', () => {});
  await progress(process.pid);
  return forever();
};
export function slowExit(ms) {
  process.on('exit', () => {
    const end = Date.now() + ms;
    while (Date.now() < end);
    process.exitCode = 7;
  });
  return 'value';
}

/** Leaves a process behind, in a session of its own, that holds its stderr. */
export async function leaves([file, ...args]) {
  const child = spawn(file, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
  child.unref();
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  return child.pid;
}

/** A workload that runs workloads. */
export async function nested({ dist, exportName, payload }) {
  const { runWorkload } = await import(`${dist}workload.js`);
  return runWorkload(import.meta.url, payload, { exportName });
}

/** Busy for so long, then a value. */
export function slowValue(ms) {
  const end = Date.now() + ms;
  while (Date.now() < end);
  return 'slow';
}
