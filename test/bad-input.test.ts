import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attach, output, ProcessGroupError, SpawnError, spawn } from '../dist/index.js';
import { childrenOf, openFds } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { type Footprint, footprint, useScenario } from './support/scenario.js';

const scenario = useScenario();
let dir = '';
const at = (name: string) => join(dir, name);

function executable(name: string, text: string, mode = 0o755): string {
  writeFileSync(at(name), text);
  chmodSync(at(name), mode);
  return at(name);
}

// Untyped on purpose: these are what plain JavaScript hands over.
// biome-ignore lint/suspicious/noExplicitAny: the calls are wrong by design
type Any = any;
const call = (file?: Any, args?: Any, options?: Any): Promise<Any> => spawn(file, args, options);

let before: { process: Footprint; children: number[]; files: string[] };
const look = () => ({ process: footprint(), children: childrenOf(), files: readdirSync(dir) });
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'procgroup-bad-'));
  // The engine starts its threads when there is something for them to do.
  await Promise.all(
    Array.from({ length: 64 }, async () => (await call(member, ['exit', '0'], { stdio: 'ignore' })).gone),
  );
});
afterAll(() => rmSync(dir, { recursive: true }));
beforeEach(() => {
  before = look();
});
afterEach(() => {
  expect(look()).toEqual(before);
  expect(scenario.alive()).toEqual([]);
});

async function refused(promise: Promise<unknown>): Promise<ProcessGroupError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProcessGroupError);
  return error as ProcessGroupError;
}

describe('T8: wrong types and values', () => {
  const type = 'ERR_INVALID_ARG_TYPE';
  const value = 'ERR_INVALID_ARG_VALUE';
  const range = 'ERR_OUT_OF_RANGE';
  const withOptions = (options: Any) => () => call(member, ['exit', '0'], options);
  it.each<[string, () => Promise<unknown>, string | RegExp]>([
    ['no file', () => call(undefined), type],
    ['a number as file', () => call(7), type],
    ['an object as file', () => call({}), type],
    ['an empty file', () => call(''), value],
    ['args that are a string', () => call('true', 'x'), type],
    ['an argument that is a number', () => call('true', ['a', 1]), type],
    ['an argument that is undefined', () => call('true', [undefined]), type],
    ['options that are a number', () => call('true', [], 7), type],
    ['NUL in file', () => call('tr\0ue'), value],
    ['NUL in an argument', () => call('true', ['a', 'b\0c']), value],
    ['NUL in env', withOptions({ env: { A: 'b\0' } }), value],
    ['NUL in a name of env', withOptions({ env: { 'A\0': 'b' } }), value],
    ['= in a name of env', withOptions({ env: { 'A=B': 'c' } }), value],
    ['NUL in cwd', withOptions({ cwd: '/tmp\0' }), value],
    ['NUL in argv0', withOptions({ argv0: 'a\0' }), value],
    ['NUL in a file of stdio', withOptions({ stdio: [{ file: '/dev/null\0' }] }), value],
    ['NUL in shell', withOptions({ shell: '/bin/sh\0' }), value],
    ['env a string', withOptions({ env: 'A=B' }), type],
    ['env a Map', withOptions({ env: new Map([['A', 'B']]) }), type],
    ['a symbol in env', withOptions({ env: { A: Symbol('x') } }), type],
    ['what has no text in env', withOptions({ env: { A: Object.create(null) } }), type],
    ['cwd a number', withOptions({ cwd: 1 }), type],
    ['cwd a URL that is not a file', withOptions({ cwd: new URL('http://localhost/') }), /^ERR_/],
    ['cwd a URL of a host', withOptions({ cwd: new URL('file://host/x') }), value],
    ['cwd a URL with a slash in a name', withOptions({ cwd: new URL('file:///a%2fb') }), value],
    ['args that are a Set', () => output('echo', new Set(['a']) as Any), type],
    [
      'what cannot be shown',
      withOptions({
        cwd: {
          [inspect.custom]() {
            throw new Error('unshown');
          },
        },
      }),
      type,
    ],
    ['argv0 a number', withOptions({ argv0: 1 }), type],
    ['shell a number', withOptions({ shell: 1 }), type],
    ['an unknown isolation', withOptions({ isolation: 'none' }), value],
    ['an unknown containment', withOptions({ containment: 'pod' }), value],
    ['isolation a number', withOptions({ isolation: 1 }), /^ERR_INVALID_ARG/],
    ['an unknown stdio word', withOptions({ stdio: 'overlapped' }), value],
    ['stdio ipc', withOptions({ stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }), value],
    ['stdio a number', withOptions({ stdio: 7 }), type],
    ['a negative descriptor', withOptions({ stdio: [-1] }), /^ERR_(OUT_OF_RANGE|INVALID_ARG_VALUE)$/],
    ['a fractional descriptor', withOptions({ stdio: [1.5] }), /^ERR_(OUT_OF_RANGE|INVALID_ARG_VALUE)$/],
    ['stdio an empty object', withOptions({ stdio: [{}] }), /^ERR_INVALID_ARG/],
    ['unknown open flags', withOptions({ stdio: [{ file: '/dev/null', flags: 'q' }] }), value],
    ['umask out of range', withOptions({ umask: 0o1000 }), range],
    ['umask negative', withOptions({ umask: -1 }), range],
    ['umask a string', withOptions({ umask: '077' }), type],
    ['nice out of range', withOptions({ nice: 20 }), range],
    ['nice fractional', withOptions({ nice: 0.5 }), range],
    ['oomScoreAdj out of range', withOptions({ oomScoreAdj: 1001 }), range],
    ['an unknown rlimit', withOptions({ rlimits: { files: 1 } }), value],
    ['a negative rlimit', withOptions({ rlimits: { nofile: -1 } }), range],
    ['an rlimit that is a word', withOptions({ rlimits: { nofile: 'many' } }), /^ERR_INVALID_ARG/],
    ['a soft limit above the hard one', withOptions({ rlimits: { nofile: { soft: 9, hard: 8 } } }), /^(ERR_|EINVAL)/],
    [
      'an unknown parent-death signal',
      withOptions({ parentDeathSignal: 'SIGFOO' }),
      /^ERR_(UNKNOWN_SIGNAL|INVALID_ARG_VALUE)$/,
    ],
    ['an unknown lifetime', withOptions({ lifetime: 'eternal' }), value],
    ['an unknown strayFds', withOptions({ strayFds: 'maybe' }), value],
    ['a teardown that is no list', withOptions({ teardown: 'SIGTERM' }), type],
    [
      'an unknown signal in the teardown',
      withOptions({ teardown: [{ signal: 'SIGFOO', graceMs: 1 }] }),
      'ERR_UNKNOWN_SIGNAL',
    ],
    ['a step without a grace', withOptions({ teardown: [{ signal: 'SIGTERM' }] }), type],
    ['a negative grace', withOptions({ teardown: [{ signal: 'SIGTERM', graceMs: -1 }] }), range],
    ['a NaN grace', withOptions({ teardown: [{ signal: 'SIGTERM', graceMs: Number.NaN }] }), range],
    ['killWaitMs negative', withOptions({ killWaitMs: -1 }), range],
    ['exitGraceMs a string', withOptions({ exitGraceMs: '1' }), type],
    ['timeoutMs negative', withOptions({ timeoutMs: -1 }), range],
    ['timeoutMs a boolean', withOptions({ timeoutMs: true }), type],
    ['drainMs NaN', withOptions({ drainMs: Number.NaN }), range],
    ['a signal that is no AbortSignal', withOptions({ signal: {} }), type],
    ['a privileged killer without a command', withOptions({ privilegedKiller: { command: [] } }), /^ERR_INVALID_ARG/],
    ['foreground with a session', withOptions({ foreground: true, isolation: 'session' }), 'ERR_FOREGROUND_SESSION'],
    ['our own group as the group', withOptions({ isolation: 'inherit', containment: 'group' }), 'ERR_OWN_GROUP'],
    ['limits without a cgroup', withOptions({ containment: 'tree', cgroup: {} }), 'ERR_INVALID_ARG_VALUE'],
    [
      'our own group in a namespace',
      withOptions({ containment: 'namespace', isolation: 'inherit' }),
      'ERR_NAMESPACE_INHERIT',
    ],
    ['output: maxBytes negative', () => output(member, [], { maxBytes: -1 }), range],
    ['output: an unknown encoding', () => output(member, [], { encoding: 'morse' as Any }), value],
    ['output: input a number', () => output(member, [], { input: 7 as Any }), type],
    ['uid with containment group', withOptions({ uid: 1, containment: 'group' }), value],
    ['a uid that is a name', withOptions({ uid: 'root', containment: 'tree' }), type],
    ['a gid out of range', withOptions({ gid: -1, containment: 'tree' }), range],
    ['groups that are no list', withOptions({ groups: 7, containment: 'tree' }), type],
    ['attach: our own group', () => attach(Number(process.pid)), /^(ERR_OWN_GROUP|ESRCH)$/],
    ['attach: zero', () => attach(0), 'ERR_PGID_ZERO'],
    ['attach: one', () => attach(1), 'ERR_PGID_INIT'],
    ['attach: a fraction', () => attach(1.5), range],
    ['attach: a string', () => attach('7' as Any), type],
  ])('T8: %s', async (_name, act, code) => {
    const promise = act();
    expect(promise).toBeInstanceOf(Promise);
    const error = await refused(promise);
    if (typeof code === 'string') expect(error.code).toBe(code);
    else expect(error.code).toMatch(code);
    expect(error.message.length).toBeGreaterThan(10);
  });

  it('T8: a getter that throws', async () => {
    const thrown = new Error('from a getter');
    const options = {
      get cwd(): string {
        throw thrown;
      },
    };
    await expect(call('true', [], options)).rejects.toBe(thrown);
  });
});

describe('T8: what the kernel refuses', () => {
  async function failed(code: string, promise: Promise<unknown>): Promise<SpawnError> {
    const error = await refused(promise);
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.code).toBe(code);
    expect(error.errno).toBeLessThan(0);
    expect(error.stage).toEqual(expect.any(String));
    return error as SpawnError;
  }

  it('T8: a missing cwd and a missing program read differently', async () => {
    const cwd = at('missing');
    expect(await failed('ENOENT', call(member, ['exit', '0'], { cwd }))).toMatchObject({
      stage: 'chdir',
      syscall: 'chdir',
      path: cwd,
      errno: -2,
    });
    const program = at('no-program');
    const error = await failed('ENOENT', call(program));
    expect(error).toMatchObject({ path: program, errno: -2 });
    expect(error.stage).not.toBe('chdir');
    const missing = await failed('ENOENT', call('no-such-program-anywhere'));
    expect(missing).toMatchObject({ path: 'no-such-program-anywhere', stage: 'lookup' });
  });

  it('T8: a cwd that is a file', async () => {
    const cwd = executable('plain', '');
    expect(await failed('ENOTDIR', call(member, ['exit', '0'], { cwd }))).toMatchObject({ stage: 'chdir', path: cwd });
    rmSync(cwd);
  });

  it('T8: a file that may not be executed, a directory, a missing interpreter, a loop, garbage', async () => {
    const locked = executable('locked', '#!/bin/sh\n', 0o644);
    await failed('EACCES', call(locked));
    mkdirSync(at('folder'));
    await failed('EACCES', call(at('folder')));
    const lost = executable('lost', '#!/no/such/interpreter\n');
    expect(await failed('ENOENT', call(lost))).toMatchObject({ stage: 'exec', path: lost });
    symlinkSync(at('loop'), at('loop'));
    await failed('ELOOP', call(at('loop')));
    await failed('ENOTDIR', call(`${locked}/x`));
    await failed('ENAMETOOLONG', call(`/${'x'.repeat(300)}`));
    rmSync(at('folder'), { recursive: true });
    for (const path of [locked, lost, at('loop')]) rmSync(path);
  });

  it('T8: 3 MiB of arguments, in one and in many, and of environment', async () => {
    expect(await failed('E2BIG', call(member, ['x'.repeat(3 << 20)]))).toMatchObject({ stage: 'exec', errno: -7 });
    await failed('E2BIG', call(member, Array(3 << 10).fill('x'.repeat(1023)), { rlimits: { stack: 8 << 20 } }));
    await failed('E2BIG', call(member, [], { env: { BIG: 'x'.repeat(3 << 20) } }));
  });

  it('T8: an error has the fields that apply to it, and no others', async () => {
    const fields = async (error: Promise<unknown>) => Object.keys((await refused(error)) as object).sort();
    expect(await fields(call(''))).toEqual(['code', 'stage']);
    expect(await fields(call(at('nothing')))).toEqual(['code', 'errno', 'path', 'stage', 'syscall']);
  });

  it('T8: a descriptor that is not open', async () => {
    await failed('EBADF', call(member, ['exit', '0'], { stdio: ['ignore', 999_999, 'ignore'] }));
    const fd = openSync('/dev/null', 'r');
    closeSync(fd);
    await failed('EBADF', call(member, ['exit', '0'], { stdio: [fd, 'pipe', 'pipe', 'pipe'] }));
  });

  it('T8: the last step of many fails, and takes all pipes with it', async () => {
    const stdio = ['pipe', 'pipe', 'pipe', 'pipe', 'pipe', { file: at('missing'), flags: 'r' }];
    await failed('ENOENT', call(member, ['exit', '0'], { stdio }));
    await failed('ENOENT', call(at('nothing'), [], { stdio: Array(60).fill('pipe') }));
  });

  it('T8: an rlimit that is refused names its stage', async () => {
    const error = await refused(call(member, ['exit', '0'], { rlimits: { nofile: { soft: 10, hard: 2 ** 40 } } }));
    expect(error.code).toBe('EPERM');
    expect(error.stage).toBe('rlimit');
  });

  it('T8: 200 failures in flight at once', async () => {
    const kinds = [
      () => failed('ENOENT', call(at('nothing'), [], { stdio: 'pipe' })),
      () => failed('ENOENT', call(member, ['exit', '0'], { cwd: at('missing'), stdio: 'pipe' })),
      () => failed('EACCES', call(dir, [], { stdio: 'pipe' })),
    ];
    await Promise.all(Array.from({ length: 201 }, (_, i) => kinds[i % 3]?.()));
    // The engine closes its ends before it tells.
    expect(openFds().length).toBe(before.process.fds.length);
  });
});
