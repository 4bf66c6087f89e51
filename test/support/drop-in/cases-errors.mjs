// What cannot be started, and what is refused before.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';

/** The child that failed, or the error that was thrown. */
const start =
  (...given) =>
  async ({ cp, watch, errorOf, folder }) => {
    const args = JSON.parse(JSON.stringify(given).replaceAll('<in>', folder));
    try {
      return await watch(cp.spawn(...args));
    } catch (error) {
      return { threw: errorOf(error) };
    }
  };

/** What a function throws, for each list of arguments. */
const refused =
  (name, lists) =>
  ({ cp, errorOf }) =>
    lists.map((args) => {
      try {
        const child = cp[name](...args);
        child.on?.('error', () => {});
        if (child.pid) child.kill('SIGKILL'); // without a pid Node signals its own process group
        return 'taken';
      } catch (error) {
        return errorOf(error);
      }
    });

const file =
  (name, text, mode) =>
  ({ folder }) =>
    writeFileSync(`${folder}/${name}`, text, { mode });
const after = (prepare, body) => (t) => {
  prepare(t);
  return body(t);
};
const odd = [null, 1, true, {}, [], () => {}, Symbol('s'), NaN, -1, 1.5, '', 'x', 2 ** 40, 5n];

export const cases = {
  ENOENT: start('no-such-program', ['a', 'b']),
  'ENOENT of a path': start('/no/such/program', []),
  'ENOENT with stdio ignored': start('no-such-program', [], { stdio: 'ignore' }),
  'ENOENT with extra pipes': start('no-such-program', [], { stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'ignore'] }),
  'ENOENT with a channel': start('no-such-program', [], { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] }),
  'ENOENT of a shell': start('x', [], { shell: '/no/shell' }),
  'ENOENT of cwd': start('true', [], { cwd: '/no/such/folder' }),
  'cwd that is a file': start('true', [], { cwd: '/etc/passwd' }),
  "ENOENT of a script's interpreter": after(file('broken', '#!/no/interpreter\n', 0o755), start('<in>/broken', [])),
  'EACCES: not executable': after(file('locked', 'x', 0o644), start('<in>/locked', [])),
  'EACCES: a folder': start('/etc', []),
  'EACCES: found in PATH': after(file('in-path', 'x', 0o644), start('in-path', [], { env: { PATH: '<in>' } })),
  ENOTDIR: start('/etc/passwd/x', []),
  ELOOP: after(({ folder }) => symlinkSync('loop', `${folder}/loop`), start('<in>/loop', [])),
  ENAMETOOLONG: start(`/${'x'.repeat(300)}`, []),
  'a name too long for PATH': start('x'.repeat(300), []),
  E2BIG: start('true', ['x'.repeat(200_000)]),
  'E2BIG of all together': start(
    'true',
    Array.from({ length: 100 }, () => 'x'.repeat(100_000)),
  ),
  // Not by Node's own where it is linked with musl.
  'ENOEXEC given to the shell': ({ musl, ...t }) =>
    musl ? null : after(file('empty', '', 0o755), start('<in>/empty', []))(t),
  EBADF: start('true', [], { stdio: ['ignore', 999, 'ignore'] }),
  // libuv 1.52 corrupts the heap of Node's own module with it.
  'EINVAL: a descriptor of -1': ({ uv, ...t }) =>
    uv < 1.52 ? start('true', [], { stdio: ['pipe', { fd: -1 }, 'pipe'] })(t) : null,
  'a program in a folder without x': after(
    ({ folder }) => mkdirSync(`${folder}/shut/in`, { recursive: true, mode: 0o700 }),
    start('<in>/shut/in/none', []),
  ),
  'kill() of what never started': async ({ cp, watch }) => {
    const child = cp.spawn('no-such-program');
    const seen = watch(child);
    await new Promise((resolve) => child.once('error', resolve));
    return { killed: child.kill(), ...(await seen) };
  },
  'ref() and unref() of what never started': async ({ cp, watch }) => {
    const child = cp.spawn('no-such-program');
    child.unref();
    child.ref();
    return watch(child);
  },
  'output of what never started': async ({ cp }) => {
    const child = cp.spawn('no-such-program');
    child.on('error', () => {});
    const events = [];
    for (const name of ['stdout', 'stderr']) {
      for (const event of ['data', 'end', 'close']) child[name].on(event, () => events.push(`${name} ${event}`));
    }
    child.stdin.on('error', (error) => events.push(`stdin ${error.code}`));
    await new Promise((resolve) => child.once('close', resolve));
    return events.sort();
  },
  'spawn(): file': refused('spawn', [[], ...odd.filter((v) => v !== 'x').map((v) => [v]), ['a\0b']]),
  'spawn(): args': refused('spawn', [...odd.map((v) => ['true', v]), ['true', ['a\0b']], ['true', ['a', 'b\0']]]),
  'spawn(): options': refused(
    'spawn',
    odd.map((v) => ['true', [], v]),
  ),
  ...Object.fromEntries(
    [
      'cwd',
      'detached',
      'uid',
      'gid',
      'shell',
      'argv0',
      'windowsHide',
      'windowsVerbatimArguments',
      'stdio',
      'serialization',
      'timeout',
      'signal',
      'killSignal',
      'env',
    ].map((option) => [
      `spawn(): ${option}`,
      refused(
        'spawn',
        odd
          .filter((v) => (option !== 'uid' && option !== 'gid' ? true : v !== 1))
          .map((v) => ['true', [], { [option]: v }]),
      ),
    ]),
  ),
  'spawn(): NUL in options': refused('spawn', [
    ['true', [], { cwd: 'a\0b' }],
    ['true', [], { argv0: 'a\0b' }],
    ['true', [], { shell: 'a\0b' }],
    ['true', [], { env: { A: 'a\0b' } }],
    ['true', [], { env: { 'A\0': 'a' } }],
  ]),
  'spawn(): entries of stdio': refused(
    'spawn',
    [
      // Node 22 aborts on a number that is no descriptor.
      ...odd.filter((v) => typeof v !== 'number' || v === 1),
      'ipc',
      'pipe',
      Buffer.from('x'),
      { fd: 'x' },
    ].map((v) => ['true', [], { stdio: ['ignore', 'ignore', 'ignore', v] }]),
  ),
  'spawn(): two channels': refused('spawn', [['true', [], { stdio: ['ipc', 'ipc', 'pipe'] }]]),
  'fork()': refused('fork', [
    [],
    ...odd.filter((v) => v !== 'x' && v !== '').map((v) => [v]),
    ['x', 'y'],
    ['x', [], 'z'],
    ['x', [], { stdio: ['pipe', 'pipe', 'pipe'] }],
    ['x', ['a\0b']],
    ['x', [], { execArgv: ['a\0'] }],
    ['x', [], { execPath: 'a\0' }],
    ['x', [], { serialization: 'other' }],
  ]),
  'exec()': refused('exec', [
    [],
    ...odd.filter((v) => v !== 'x').map((v) => [v]),
    ['true', 1],
    ['true', {}, 1],
    ['true', { maxBuffer: -1 }],
    ['true', { maxBuffer: 'x' }],
    ['true', { timeout: -1 }],
    ['true', { killSignal: 'NO' }],
    ['true', { cwd: 1 }],
  ]),
  'execFile()': refused('execFile', [
    [],
    ...odd.filter((v) => v !== 'x').map((v) => [v]),
    ['true', 1],
    ['true', [], 1],
    ['true', [], {}, 1],
    ['true', ['a\0b']],
    ['true', { maxBuffer: -1 }],
    ['true', { timeout: 'x' }],
    ['true', { argv0: 1 }],
  ]),
  'new ChildProcess().spawn()': ({ cp, errorOf }) =>
    [
      undefined,
      null,
      'x',
      1,
      {},
      { file: 1 },
      { file: 'x', args: 1 },
      { file: 'x', envPairs: 1, stdio: ['pipe', 'pipe', 'pipe', 'ipc'] },
      { file: 'x', stdio: 1 },
    ].map((options) => {
      try {
        const child = new cp.ChildProcess();
        child.on('error', () => {});
        child.spawn(options);
        return 'taken';
      } catch (error) {
        return errorOf(error);
      }
    }),
};
