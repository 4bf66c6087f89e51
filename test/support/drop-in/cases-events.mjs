// Events, their order, and what becomes of streams.
import { once } from 'node:events';
import { settle } from './settle.mjs';

/** Every event of some children and of their streams, in one list. */
function log(list, name, child) {
  for (const event of ['spawn', 'exit', 'close', 'error', 'disconnect', 'message']) {
    child.on(event, (...args) =>
      list.push(`${name} ${event} ${args.map((arg) => arg?.message ?? JSON.stringify(arg))}`),
    );
  }
  for (const stream of ['stdout', 'stderr']) {
    for (const event of ['data', 'end', 'close'])
      child[stream]?.on(event, (arg) => list.push(`${name} ${stream} ${event} ${arg ?? ''}`));
  }
  return once(child, 'close').catch(() => {});
}

/** All has happened before the loop turns: what is left is the order in which it is told. */
const told =
  (scripts) =>
  async ({ cp }) => {
    const list = [];
    const children = scripts.map((script) => cp.spawn('/bin/sh', ['-c', script]));
    const all = children.map((child, i) => log(list, 'abcdefgh'[i], child));
    process.nextTick(() => list.push('tick'));
    Promise.resolve().then(() => list.push('microtask'));
    setImmediate(() => list.push('immediate'));
    settle(...children);
    await Promise.all(all);
    await new Promise((resolve) => setImmediate(resolve));
    return list;
  };

export const cases = {
  'order: output and exit': told(['echo out; echo err >&2; exit 2']),
  'order: nothing but exit': told(['exit 0']),
  'order: two children': told(['echo one', 'echo two; exit 1']),
  'order: told as started, not as ended': told(['sleep 0.05; exit 1', 'sleep 0.02; exit 2', 'exit 3']),
  'order: failures among others': async ({ cp }) => {
    const list = [];
    const children = ['/bin/true', 'no-such-a', '/bin/echo', 'no-such-b'].map((file) => cp.spawn(file, ['x']));
    const all = children.map((child, i) => log(list, `${i}`, child));
    process.nextTick(() => list.push('tick'));
    settle(...children);
    await Promise.all(all);
    return list;
  },
  'ticks and microtasks run between two exits': async ({ cp }) => {
    const list = [];
    const children = ['a', 'b', 'c'].map(() => cp.spawn('true', [], { stdio: 'ignore' }));
    const all = children.map((child, i) => {
      const name = 'abc'[i];
      child.on('exit', () => {
        list.push(`${name} exit`);
        process.nextTick(() => list.push(`${name} tick`));
        Promise.resolve().then(() => list.push(`${name} microtask`));
      });
      return once(child, 'close');
    });
    settle(...children);
    await Promise.all(all);
    return list;
  },
  'exit before close, close after the streams': async ({ cp }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'echo x']);
    const list = [];
    child.on('exit', () => list.push('exit'));
    child.on('close', () => list.push(`close ${child.stdout.readableEnded} ${child.stderr.readableEnded}`));
    child.stdout.resume();
    child.stderr.resume();
    await once(child, 'close');
    return list;
  },
  'output that nobody reads': async ({ cp, watch }) =>
    watch(cp.spawn('/bin/sh', ['-c', 'echo x; echo y >&2']), { read: false }),
  'output that is read in exit': async ({ cp }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'echo late']);
    let text = '';
    child.on('exit', () =>
      child.stdout.on('data', (chunk) => {
        text += chunk;
      }),
    );
    await once(child, 'close');
    return text;
  },
  'output that is paused': async ({ cp }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'echo paused']);
    const list = [];
    child.stdout.pause();
    child.on('exit', () => list.push('exit'));
    child.stdout.on('data', () => list.push('data'));
    child.on('close', () => list.push('close'));
    const closed = once(child, 'close');
    await once(child, 'exit');
    setImmediate(() => child.stdout.resume());
    await closed;
    return list;
  },
  'a grandchild holds the pipe': async ({ cp }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'sleep 0.3 & exit 0']);
    const list = [];
    child.on('exit', () => list.push('exit'));
    child.on('close', () => list.push('close'));
    await once(child, 'exit');
    await new Promise((resolve) => setImmediate(resolve));
    list.push('turn');
    await once(child, 'close');
    return list;
  },
  'much output': async ({ cp, member }) => {
    const child = cp.spawn(member, ['print', '3000000', '2000000']);
    let [out, err] = [0, 0];
    child.stdout.on('data', (chunk) => {
      out += chunk.length;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk.length;
    });
    return [await once(child, 'close'), out, err];
  },
  'much input': async ({ cp }) => {
    const child = cp.spawn('wc', ['-c']);
    child.stdin.end('x'.repeat(5_000_000));
    const [line] = await once(child.stdout, 'data');
    return [`${line}`, await once(child, 'close')];
  },
  'input that is not read': async ({ cp }) => {
    const child = cp.spawn('true');
    const list = [];
    child.stdin.on('error', (error) => list.push(['error', error.code, error.syscall]));
    child.stdin.on('close', () => list.push('close'));
    const closed = Promise.all([once(child, 'close'), new Promise((resolve) => child.stdin.on('close', resolve))]);
    await once(child, 'exit');
    child.stdin.write('x', (error) => list.push(['written', error?.code]));
    await closed;
    return list;
  },
  'input ended, output follows': async ({ cp, watch }) => {
    const child = cp.spawn('cat');
    child.stdin.write('a');
    child.stdin.end('b');
    return watch(child);
  },
  'stdout destroyed early': async ({ cp, watch }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'read x; while echo x; do :; done 2>/dev/null']);
    const seen = watch(child, { read: false });
    child.stdout.destroy().on('close', () => child.stdin.end());
    return seen;
  },
  'streams are sockets': async ({ cp }) => {
    const child = cp.spawn('cat');
    const shown = [child.stdin, child.stdout, child.stderr].map((stream) => [
      stream.constructor.name,
      stream.readable,
      stream.writable,
      stream.destroyed,
      stream.connecting,
      stream.pending,
      stream.readyState,
      typeof stream._handle.fd,
      stream._handle.constructor.name,
    ]);
    child.stdin.end();
    await once(child, 'close');
    return shown;
  },
  'late listeners': async ({ cp }) => {
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    await once(child, 'exit');
    return [child.exitCode, child.signalCode, child.killed, child.connected, child._handle];
  },
  'once(child, "spawn")': async ({ cp }) => (await once(cp.spawn('true'), 'spawn')).length,
  'once(child, "close") of what never started': async ({ cp, errorOf }) =>
    once(cp.spawn('no-such-program'), 'close').catch(errorOf),
  'an error nobody listens to': async ({ cp, errorOf }) => {
    const seen = new Promise((resolve) =>
      process.once('uncaughtException', (error, origin) => resolve([errorOf(error), origin])),
    );
    cp.spawn('no-such-program');
    return seen;
  },
  'a listener of exit that throws': async ({ cp, errorOf }) => {
    const seen = new Promise((resolve) =>
      process.once('uncaughtException', (error, origin) => resolve([errorOf(error), origin])),
    );
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    const other = cp.spawn('true', [], { stdio: 'ignore' });
    child.on('exit', () => {
      throw new Error('on purpose');
    });
    const closed = once(other, 'close');
    settle(child, other);
    return [await seen, await closed, child.exitCode];
  },
  'spawn within exit': async ({ cp, watch }) => {
    const first = cp.spawn('true');
    return new Promise((resolve) => {
      first.on('exit', () => resolve(watch(cp.spawn('echo', ['again']))));
    });
  },
  'a hundred at once': async ({ cp }) => {
    const ends = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        once(cp.spawn('/bin/sh', ['-c', `exit ${i % 7}`], { stdio: 'ignore' }), 'exit'),
      ),
    );
    return ends.map(([code]) => code);
  },
};
