// spawn(): arguments, options, what the child finds.

import { once } from 'node:events';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { pathToFileURL } from 'node:url';

const text = (stream) =>
  new Promise((resolve) => {
    let all = '';
    stream
      .setEncoding('utf8')
      .on('data', (chunk) => {
        all += chunk;
      })
      .on('end', () => resolve(all));
  });

/** `member self` without what differs between any two processes. */
async function self({ cp, member }, options = {}) {
  const child = cp.spawn(member, ['self'], options);
  const said = await text(child.stdout);
  const { pid, ppid, pgid, sid, fds, ...rest } = JSON.parse(said);
  const kinds = Object.entries(fds).map(([fd, target]) => [fd, target.replace(/\[\d+\]/, '')]);
  return {
    ...rest,
    fds: kinds,
    parent: ppid === process.pid,
    known: pid === child.pid,
    group: pgid === pid ? 'own' : 'other',
    session: sid === pid ? 'own' : 'other',
  };
}

const args =
  (list, options) =>
  ({ cp, watch }) =>
    watch(cp.spawn('/bin/sh', ['-c', 'printf "[%s]" "$0" "$@"', ...list], options));
const shell =
  (script, options) =>
  ({ cp, watch }) =>
    watch(cp.spawn('/bin/sh', ['-c', script], options));

export const cases = {
  'a program and its end': shell('exit 0'),
  'an exit code': shell('exit 7'),
  'exit code 255': shell('exit 255'),
  'a signal': shell('kill -TERM $$'),
  SIGKILL: shell('kill -KILL $$'),
  'a signal that dumps core': shell('ulimit -c 0; kill -ABRT $$'),
  'a real-time signal': shell('kill -40 $$'),
  'output on both': shell('echo out; echo err >&2; exit 3'),
  'no arguments': ({ cp, watch }) => watch(cp.spawn('true')),
  'options in place of arguments': ({ cp, watch }) => watch(cp.spawn('pwd', { cwd: '/' })),
  'arguments null': ({ cp, watch }) => watch(cp.spawn('pwd', null, { cwd: '/' })),
  'arguments undefined': ({ cp, watch }) => watch(cp.spawn('pwd', undefined, { cwd: '/' })),
  'options undefined': ({ cp, watch }) => watch(cp.spawn('true', [], undefined)),
  'words as they are': args(['a b', '', '*', '$HOME', '"', "'", '\\', '\n', 'é€😀', '-n']),
  'one empty word': args(['']),
  'empty words at the end': args(['a', '', '']),
  'words that are no strings': args([1, null, undefined, true, 1.5, { toString: () => 'object' }, [1, 2]]),
  'a lone surrogate': args(['a\ud800b']),
  'many words': args(Array.from({ length: 2000 }, (_, i) => `word ${i}`)),
  argv0: ({ cp, watch }) =>
    watch(cp.spawn('/bin/sh', ['-c', 'echo "$0"; cat /proc/$$/cmdline | tr "\\0" ,'], { argv0: 'another' })),
  'argv0 empty': async (t) => (await self(t, { argv0: '' })).argv0,
  'no words at all, by ChildProcess': async ({ cp, watch }) => {
    const child = new cp.ChildProcess();
    child.spawn({ file: '/bin/true', stdio: 'ignore' });
    return watch(child);
  },
  'a NUL within, by ChildProcess': async ({ cp, watch }) => {
    const child = new cp.ChildProcess();
    child.spawn({
      file: '/bin/sh',
      args: ['sh', '-c', 'echo $0 $1; env | grep ^DROP', 'a\0b', 'c'],
      envPairs: ['DROPIN=x\0y'],
      stdio: 'pipe',
    });
    return watch(child);
  },
  'PATH of the child': async ({ cp, watch, folder }) => {
    writeFileSync(`${folder}/found-by-path`, '#!/bin/sh\necho found\n', { mode: 0o755 });
    return watch(cp.spawn('found-by-path', [], { env: { PATH: `/nowhere:${folder}:/bin` } }));
  },
  'no PATH': ({ cp, watch }) => watch(cp.spawn('true', [], { env: {} })),
  'an empty PATH': ({ cp, watch }) => watch(cp.spawn('true', [], { env: { PATH: '' } })),
  'PATH with an empty entry': ({ cp, watch, folder }) => {
    writeFileSync(`${folder}/in-cwd`, '#!/bin/sh\necho here\n', { mode: 0o755 });
    return watch(cp.spawn('in-cwd', [], { env: { PATH: '/nowhere:' }, cwd: folder }));
  },
  // Node's own does not run it where it is linked with musl, and throws: what is compared then is that this is the difference.
  'a script without a first line': async ({ cp, watch, folder, musl, which }) => {
    writeFileSync(`${folder}/plain`, 'echo plain "$@"\n', { mode: 0o755 });
    const run = () => watch(cp.spawn(`${folder}/plain`, ['a b', 'c']));
    if (!musl) return run();
    if (which === 'node')
      return Promise.resolve()
        .then(run)
        .then(
          () => 'runs',
          (error) => error.code === 'ENOEXEC',
        );
    return (await run()).streams[1].data === 'plain a b c\n';
  },
  'a path relative to cwd': ({ cp, watch, folder }) => {
    mkdirSync(`${folder}/sub`, { recursive: true });
    writeFileSync(`${folder}/sub/relative`, '#!/bin/sh\necho relative\n', { mode: 0o755 });
    return watch(cp.spawn('./relative', [], { cwd: `${folder}/sub` }));
  },
  cwd: ({ cp, watch }) => watch(cp.spawn('pwd', [], { cwd: '/usr' })),
  'cwd as URL': ({ cp, watch }) => watch(cp.spawn('pwd', [], { cwd: pathToFileURL('/usr/') })),
  'cwd empty': async ({ cp, watch }) =>
    (await watch(cp.spawn('pwd', [], { cwd: '' }))).streams[1].data.trim() === process.cwd(),
  'cwd null': ({ cp, watch }) => watch(cp.spawn('true', [], { cwd: null })),
  'env replaces': shell('env | sort', {
    env: { PATH: process.env.PATH, A: '1', B: '', C: undefined, D: null, E: 5, é: 'é' },
  }),
  'env inherits': async ({ cp, watch }) => {
    process.env.DROP_IN_INHERITED = 'yes';
    return watch(cp.spawn('/bin/sh', ['-c', 'echo $DROP_IN_INHERITED']));
  },
  'env of a prototype': shell('env | sort', { env: Object.create({ PATH: process.env.PATH, INHERITED: 'x' }) }),
  'env with odd names': shell('env | sort', { env: { PATH: process.env.PATH, 'a=b': 'c', 'a b': 'd' } }),
  'env null': ({ cp, watch }) => watch(cp.spawn('true', [], { env: null })),
  'coverage is handed on': async ({ cp, watch, folder }) => {
    process.env.NODE_V8_COVERAGE = `${folder}/coverage`;
    const seen = await watch(
      cp.spawn('/bin/sh', ['-c', 'echo $NODE_V8_COVERAGE'], { env: { PATH: process.env.PATH } }),
    );
    delete process.env.NODE_V8_COVERAGE;
    return seen;
  },
  'shell true': ({ cp, watch }) => watch(cp.spawn('echo $0; exit 4', { shell: true })),
  'shell with words': ({ cp, watch }) =>
    watch(cp.spawn('echo', ['a  b', '$HOME'], { shell: true, env: { HOME: '/h', PATH: process.env.PATH } })),
  'shell by name': ({ cp, watch }) => watch(cp.spawn('echo $0', { shell: '/bin/sh' })),
  'shell that is not there': ({ cp, watch }) => watch(cp.spawn('echo', { shell: '/no/shell' })),
  'windows options': ({ cp, watch }) =>
    watch(cp.spawn('true', [], { windowsHide: true, windowsVerbatimArguments: true })),
  'what a child finds': (t) => self(t),
  'what a detached child finds': (t) => self(t, { detached: true }),
  'what a child with ignored stdio finds': async ({ cp, member, folder }) => {
    const file = openSync(`${folder}/self`, 'w');
    await once(cp.spawn(member, ['self'], { stdio: ['ignore', file, 'ignore', 'ignore', 'pipe'] }), 'close');
    closeSync(file);
    return Object.entries(JSON.parse(readFileSync(`${folder}/self`, 'utf8')).fds).map(([fd, to]) => [
      fd,
      to.replace(/\[\d+\]/, ''),
    ]);
  },
  'how descriptors are opened': ({ cp, watch }) =>
    watch(
      cp.spawn('/bin/sh', ['-c', 'for i in 0 1 2 3 4; do grep flags /proc/$$/fdinfo/$i; done'], {
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'overlapped'],
      }),
    ),
  'many pipes': async ({ cp, watch }) => {
    const child = cp.spawn(
      '/bin/sh',
      ['-c', 'for i in 3 4 5 6 7 8 9; do echo $i >&$i; done; ls /proc/self/fd | wc -l'],
      {
        stdio: Array.from({ length: 20 }, () => 'pipe'),
      },
    );
    return watch(child);
  },
  'a pipe both ways': async ({ cp, watch }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'read line <&3; echo "got $line" >&3'], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    child.stdio[3].write('word\n');
    return watch(child);
  },
  'ignored in the middle': shell('ls /proc/self/fd; echo x >&5', {
    stdio: ['ignore', 'pipe', 'pipe', 'ignore', null, 'pipe'],
  }),
  'a stray descriptor': async ({ cp, watch }) => {
    // Node opens with O_CLOEXEC: one without it comes from outside, as this one does.
    const outer = cp.spawn(
      process.execPath,
      ['-e', 'process.exit(require("fs").readdirSync("/proc/self/fd").includes("9") ? 9 : 1)'],
      {
        stdio: ['ignore', 'ignore', 'ignore', ...Array(6).fill('ignore'), 'pipe'],
      },
    );
    return watch(outer, { read: false });
  },
  'a stream of a file': async ({ cp, watch, folder }) => {
    const out = createWriteStream(`${folder}/out`);
    await once(out, 'open');
    const seen = await watch(cp.spawn('/bin/sh', ['-c', 'echo to file'], { stdio: ['ignore', out, 'pipe'] }));
    return { seen, file: readFileSync(`${folder}/out`, 'utf8') };
  },
  'a file as input': async ({ cp, watch, folder }) => {
    writeFileSync(`${folder}/in`, 'from file\n');
    const input = createReadStream(`${folder}/in`);
    await once(input, 'open');
    return watch(cp.spawn('cat', [], { stdio: [input, 'pipe', 'inherit'] }));
  },
  'a descriptor by number': async ({ cp, watch, folder }) => {
    const file = openSync(`${folder}/by-number`, 'w+');
    const seen = await watch(
      cp.spawn('/bin/sh', ['-c', 'echo a; echo b >&2; echo c >&3'], { stdio: ['ignore', file, file, file] }),
    );
    closeSync(file);
    return { seen, file: readFileSync(`${folder}/by-number`, 'utf8') };
  },
  'an object with a descriptor': async ({ cp, watch, folder }) => {
    const fd = openSync(`${folder}/object`, 'w');
    const seen = await watch(cp.spawn('echo', ['x'], { stdio: ['ignore', { fd }, 'ignore'] }));
    return { seen, file: readFileSync(`${folder}/object`, 'utf8') };
  },
  'a negative number is a pipe': ({ cp, watch }) => watch(cp.spawn('echo', ['x'], { stdio: [-1, -1, -5] })),
  'a socket': async ({ cp, watch }) => {
    const server = createServer().listen(0);
    await once(server, 'listening');
    const mine = connect(server.address().port);
    const [theirs] = await once(server, 'connection');
    server.close();
    const said = text(mine);
    const child = cp.spawn('/bin/sh', ['-c', 'read line; echo "got $line"'], { stdio: [theirs, theirs, 'inherit'] });
    mine.write('over a socket\n');
    const seen = await watch(child);
    theirs.destroy();
    return { seen, said: await said };
  },
  'the output of another child': async ({ cp, watch }) => {
    const first = cp.spawn('/bin/sh', ['-c', 'echo one; echo two']);
    const second = cp.spawn('sort', ['-r'], { stdio: [first.stdout, 'pipe', 'inherit'] });
    return Promise.all([watch(first, { read: false, until: 'exit' }), watch(second)]);
  },
  'output piped to input': async ({ cp, watch }) => {
    const first = cp.spawn('/bin/sh', ['-c', 'echo b; echo a']);
    const second = cp.spawn('sort');
    first.stdout.pipe(second.stdin);
    return watch(second);
  },
  'stdio inherit': async ({ cp, watch }) => watch(cp.spawn('true', [], { stdio: 'inherit' })),
  'stdio of process': async ({ cp, watch }) =>
    watch(cp.spawn('true', [], { stdio: [process.stdin, process.stdout, process.stderr] })),
  'stdio ignore': ({ cp, watch }) => watch(cp.spawn('/bin/sh', ['-c', 'echo x; read y'], { stdio: 'ignore' })),
  'stdio overlapped': ({ cp, watch }) => watch(cp.spawn('echo', ['x'], { stdio: 'overlapped' })),
  'stdio of one': ({ cp, watch }) => watch(cp.spawn('echo', ['x'], { stdio: ['ignore'] })),
  'stdio null': ({ cp, watch }) => watch(cp.spawn('echo', ['x'], { stdio: null })),
  'stdio of undefined': ({ cp, watch }) =>
    watch(cp.spawn('echo', ['x'], { stdio: [undefined, null, undefined, undefined] })),
};
