// exec() and execFile(), their callbacks and their promises.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

const shown = (value) => (Buffer.isBuffer(value) ? { buffer: value.toString('latin1') } : value);
const called =
  (name, ...args) =>
  ({ cp, errorOf }) =>
    new Promise((resolve) => {
      const child = cp[name](...args, (error, stdout, stderr) =>
        resolve({ error: errorOf(error), stdout: shown(stdout), stderr: shown(stderr), pid: typeof child.pid }),
      );
    });
const promised =
  (name, ...args) =>
  async ({ cp, errorOf }) => {
    const promise = promisify(cp[name])(...args);
    const child = [typeof promise.child?.pid, promise.child?.spawnfile];
    try {
      const { stdout, stderr } = await promise;
      return { child, stdout: shown(stdout), stderr: shown(stderr) };
    } catch (error) {
      return { child, error: errorOf(error), keys: Object.keys(error).sort() };
    }
  };
const exec = (...args) => called('exec', ...args);
const execFile = (...args) => called('execFile', ...args);
const sh = (script, options) =>
  options ? execFile('/bin/sh', ['-c', script], options) : execFile('/bin/sh', ['-c', script]);

export const cases = {
  exec: exec('echo out; echo err >&2'),
  'exec that fails': exec('echo out; echo err >&2; exit 3'),
  'exec that is killed': exec('kill -TERM $$'),
  'exec of what is not there': exec('no-such-program'),
  'exec with options': exec('pwd; echo $A', { cwd: '/usr', env: { A: 'a', PATH: process.env.PATH } }),
  'exec with a shell': exec('echo $0', { shell: '/bin/sh' }),
  'exec with a shell that is not there': exec('x', { shell: '/no/shell' }),
  'exec with a missing cwd': exec('x', { cwd: '/no/folder' }),
  'exec without a callback': async ({ cp, watch }) => watch(cp.exec('echo x')),
  'exec with null options': exec('echo x', null),
  execFile: execFile('echo', ['a', 'b']),
  'execFile without arguments': execFile('pwd', { cwd: '/usr' }),
  'execFile of a file alone': execFile('true'),
  'execFile with a shell': execFile('echo', ['$HOME'], { shell: true, env: { HOME: '/h', PATH: process.env.PATH } }),
  'execFile that fails': sh('echo out; echo err >&2; exit 9'),
  'execFile that is killed': sh('kill -KILL $$'),
  'execFile of what is not there': execFile('no-such-program', ['a']),
  'execFile of what may not run': ({ folder, ...t }) => {
    writeFileSync(`${folder}/no-x`, 'x');
    return execFile(`${folder}/no-x`)(t);
  },
  'execFile that is too long': ({ cp, errorOf }) => {
    try {
      cp.execFile('true', ['x'.repeat(200_000)], () => {});
      return 'taken';
    } catch (error) {
      return errorOf(error);
    }
  },
  'argv0 is dropped': execFile('/bin/sh', ['-c', 'echo $0'], { argv0: 'other' }),
  'stdio is dropped': execFile('echo', ['x'], { stdio: 'ignore' }),
  'detached is dropped': sh('ps -o pgid= $$ | tr -d " " | grep -qx $$ && echo own || echo inherited', {
    detached: true,
  }),
  buffers: sh('printf "\\377\\000x"', { encoding: 'buffer' }),
  'encoding null': sh('echo x', { encoding: null }),
  'encoding latin1': sh('printf "\\351"', { encoding: 'latin1' }),
  'encoding base64': sh('printf abc', { encoding: 'base64' }),
  'encoding unknown': sh('echo x', { encoding: 'no-such' }),
  'a character in two chunks': sh('printf "\\303"; sleep 0.05; printf "\\251"'),
  maxBuffer: ({ cp, errorOf }) =>
    new Promise((resolve) =>
      cp.execFile(
        '/bin/sh',
        ['-c', 'printf 12345; sleep 0.1; printf 67890; exec sleep 1000'],
        { maxBuffer: 7 },
        (error, out, err) => resolve([errorOf(error), out, err]),
      ),
    ),
  'maxBuffer of stderr': sh('printf 12345678 >&2; exec sleep 1000', { maxBuffer: 3 }),
  'maxBuffer in characters': sh('printf "éééé"', { maxBuffer: 8 }),
  'maxBuffer infinite': sh('printf 12345', { maxBuffer: Infinity }),
  'maxBuffer zero': sh('printf x; exec sleep 1000', { maxBuffer: 0 }),
  timeout: sh('echo x; exec sleep 1000', { timeout: 100 }),
  'timeout with a signal': sh('exec sleep 1000', { timeout: 50, killSignal: 'SIGKILL' }),
  'timeout that is not reached': sh('echo x', { timeout: 60_000 }),
  abort: async ({ cp, errorOf }) => {
    const controller = new AbortController();
    const result = new Promise((resolve) =>
      cp.execFile('sleep', ['1000'], { signal: controller.signal }, (...all) => resolve(all.map(errorOf))),
    );
    controller.abort('why');
    return result;
  },
  'abort before': ({ cp, errorOf }) =>
    new Promise((resolve) =>
      cp.execFile('sleep', ['1000'], { signal: AbortSignal.abort() }, (...all) => resolve(all.map(errorOf))),
    ),
  'exec abort': ({ cp, errorOf }) =>
    new Promise((resolve) =>
      cp.exec('exec sleep 1000', { signal: AbortSignal.abort() }, (...all) => resolve(all.map(errorOf))),
    ),
  'kill()': async ({ cp, errorOf }) => {
    let child;
    const result = new Promise((resolve) => {
      child = cp.execFile('sleep', ['1000'], (...all) => resolve(all.map(errorOf)));
    });
    return [child.kill('SIGINT'), await result];
  },
  input: async ({ cp, errorOf }) => {
    let child;
    const result = new Promise((resolve) => {
      child = cp.execFile('cat', (...all) => resolve(all.map(errorOf)));
    });
    child.stdin.end('in and out');
    return result;
  },
  "setEncoding of one's own": async ({ cp, errorOf }) =>
    new Promise((resolve) => {
      const child = cp.execFile('/bin/sh', ['-c', 'printf abc'], { encoding: 'buffer' }, (...all) =>
        resolve(all.map(errorOf)),
      );
      child.stdout.setEncoding('hex');
    }),
  'listeners beside the callback': async ({ cp }) =>
    new Promise((resolve) => {
      const list = [];
      const child = cp.exec('echo x; exit 2', () => list.push('callback'));
      child.on('exit', (...args) => list.push(['exit', ...args]));
      child.on('close', (...args) => {
        list.push(['close', ...args]);
        setImmediate(resolve, list);
      });
    }),
  'a callback that throws': async ({ cp, errorOf }) => {
    const seen = new Promise((resolve) => process.once('uncaughtException', (error) => resolve(errorOf(error))));
    cp.exec('true', () => {
      throw new Error('on purpose');
    });
    return seen;
  },
  'promise of exec': promised('exec', 'echo out; echo err >&2'),
  'promise of exec that fails': promised('exec', 'echo out; echo err >&2; exit 5'),
  'promise of exec with options': promised('exec', 'pwd', { cwd: '/usr' }),
  'promise of execFile': promised('execFile', 'echo', ['a']),
  'promise of execFile in buffers': promised('execFile', 'echo', ['a'], { encoding: 'buffer' }),
  'promise of execFile that fails': promised('execFile', 'no-such-program', ['x']),
  'promise of execFile that is aborted': promised('execFile', 'sleep', ['1000'], { signal: AbortSignal.abort() }),
  'promise that is refused': ({ cp, errorOf }) => {
    try {
      promisify(cp.execFile)(1);
      return 'taken';
    } catch (error) {
      return errorOf(error);
    }
  },
  'promises by name': ({ cp }) =>
    ['exec', 'execFile'].map((name) => {
      const custom = cp[name][promisify.custom];
      const own = Object.getOwnPropertyDescriptor(cp[name], promisify.custom);
      return [
        typeof custom,
        custom.name,
        custom.length,
        own.enumerable,
        own.writable,
        own.configurable,
        promisify(cp[name]) === custom,
      ];
    }),
  'once(close) and the callback agree': async ({ cp }) => {
    const child = cp.execFile('/bin/sh', ['-c', 'exit 6'], () => {});
    return once(child, 'close');
  },
  "the synchronous ones are Node's own": async ({ cp }) => {
    const node = (await import('node:child_process')).default;
    return ['spawnSync', 'execSync', 'execFileSync', 'ChildProcess', '_forkChild'].map(
      (name) => cp[name] === node[name],
    );
  },
};
