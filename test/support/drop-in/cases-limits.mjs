// Other uids, full tables, exhausted limits. Needs root; without it the uid cases show EPERM on both sides.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';

const shell =
  (script, options) =>
  async ({ cp, watch, errorOf }) => {
    try {
      return await watch(cp.spawn('/bin/sh', ['-c', script], options));
    } catch (error) {
      return { threw: errorOf(error) };
    }
  };
const identity = 'id -u; id -g; id -G; grep -E "^(Uid|Gid|Groups)" /proc/$$/status';
const limit = (name, value) => execFileSync('prlimit', ['--pid', `${process.pid}`, `--${name}=${value}`]);

/** Leaves `spare` descriptors, for the time of body(). */
async function withDescriptors(spare, body) {
  limit('nofile', '128:20000');
  const taken = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // full
  }
  for (let i = 0; i < spare; i++) closeSync(taken.pop());
  try {
    return await body();
  } finally {
    for (const fd of taken) closeSync(fd);
    limit('nofile', '20000:20000');
  }
}

const exhausted =
  (options, spare = 0) =>
  async ({ cp, errorOf }) => {
    await once(cp.spawn('true', [], { stdio: 'ignore' }), 'close'); // what starts with the first child
    return withDescriptors(spare, async () => {
      const child = cp.spawn('true', [], options);
      const seen = [child.pid, child.stdin, child.stdout, child.stdio];
      const [error] = await once(child, 'error', { captureRejections: false }).catch((reason) => [reason]);
      return [seen, errorOf(error), child.exitCode, child.signalCode];
    });
  };

export const cases = {
  'members of Object.prototype are no options': async ({ cp, watch }) => {
    const strange = {
      cwd: ['', '/none', 4n],
      uid: [1, 'x'],
      gid: [1, 4n],
      containment: ['wood', 'tree'],
      isolation: ['session'],
      detached: [1],
      shell: ['/none'],
      argv0: ['x'],
      killSignal: ['x'],
      teardown: [1],
    };
    const seen = [];
    for (const [name, values] of Object.entries(strange)) {
      for (const value of values) {
        const children = [];
        try {
          Object.prototype[name] = value;
          children.push(
            cp.spawn('/bin/echo', ['x']),
            cp.exec('echo x'),
            cp.execFile('/bin/echo', ['x'], () => {}),
          );
        } catch (error) {
          seen.push([name, 'threw', error.code]);
        } finally {
          delete Object.prototype[name];
        }
        for (const { events, streams } of await Promise.all(children.map((child) => watch(child)))) {
          seen.push([name, events, streams.map((stream) => stream?.data)]);
        }
      }
    }
    return seen;
  },
  uid: shell(identity, { uid: 65534 }),
  gid: shell(identity, { gid: 65533 }),
  'uid and gid': shell(identity, { uid: 65534, gid: 65533 }),
  'uid 0': shell(identity, { uid: 0, gid: 0 }),
  'uid -1': shell(identity, { uid: -1 }),
  'gid -1': shell(identity, { gid: -1 }),
  'a large uid': shell(identity, { uid: 2147483647 }),
  'uid that may not enter cwd': async ({ folder, ...t }) => {
    mkdirSync(`${folder}/private`, { mode: 0o700, recursive: true });
    return shell('pwd; id -u', { uid: 65534, cwd: `${folder}/private` })(t);
  },
  'uid with what is not there': async ({ cp, watch }) => watch(cp.spawn('no-such-program', [], { uid: 65534 })),
  'uid with pipes': async ({ cp, watch }) =>
    watch(
      cp.spawn('/bin/sh', ['-c', 'echo out; echo more >&3'], {
        uid: 65534,
        gid: 65534,
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      }),
    ),
  'uid of exec': async ({ cp, errorOf }) =>
    new Promise((resolve) => cp.exec('id -u', { uid: 65534 }, (...all) => resolve(all.map(errorOf)))),
  'uid detached': shell('ps -o sid= -p $$ | grep -qw $$ && echo leads', { uid: 65534, detached: true }),
  'kill() that is not permitted': async ({ cp, errorOf }) => {
    const script = `
      const cp = process.argv[1] === 'node' ? require('child_process') : require(process.argv[1]);
      const child = cp.spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
      child.on('error', (error) => console.log(JSON.stringify([error.code, error.syscall, error.message])));
      child.on('exit', (...all) => console.log(...all));
      child.on('spawn', () => {
        process.setuid(65534);
        console.log(child.kill(), child.killed, child.kill(0));
        child.stdin.end();
      });`;
    const module =
      cp === (await import('node:child_process')).default ? 'node' : `${process.cwd()}/dist/child-process.js`;
    try {
      return execFileSync(process.execPath, ['--no-warnings', '-e', script, module], { encoding: 'utf8' });
    } catch (error) {
      return errorOf(error);
    }
  },
  EMFILE: exhausted({}),
  'EMFILE with stdio ignored': exhausted({ stdio: 'ignore' }),
  'EMFILE with a channel': exhausted({ stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }),
  'a descriptor above the limit of the engine': async ({ cp, watch }) => {
    const fd = openSync('/dev/null', 'r');
    const child = cp.spawn('/bin/sh', ['-c', 'ls -l /proc/self/fd/5 | grep -c null'], {
      stdio: ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', fd],
    });
    closeSync(fd);
    return watch(child);
  },
  'umask and priority are inherited': async ({ cp, watch }) => {
    const before = process.umask(0o27);
    const seen = await watch(cp.spawn('/bin/sh', ['-c', 'umask; nice']));
    process.umask(before);
    return seen;
  },
};
