// fork(), and the channel of stdio 'ipc'.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';

const child = fileURLToPath(new URL('child.mjs', import.meta.url));

/** Starts verb, hands it to `body`, and gives what is seen of it to its end. */
const forked =
  (verb, body, options = {}) =>
  async (t) => {
    const kid = t.cp.fork(child, [verb, ...(options.args ?? [])], { silent: true, ...options });
    // A parent that disconnects gets no 'close': nobody counts the end of the channel then.
    const seen = t.watch(kid, { until: verb === 'stay' ? 'exit' : 'close' });
    const more = await body?.(kid, t);
    return { ...(await seen), more };
  };

export const cases = {
  messages: forked('echo', async (kid) => {
    await once(kid, 'message');
    const values = [1, 'text', null, true, [1, 2], { a: { b: 'c' } }, '', 'é😀', 1.5];
    for (const value of values) {
      kid.send(value);
    }
    kid.send('end');
  }),
  'what is no JSON': forked('echo', async (kid) => {
    await once(kid, 'message');
    kid.send({ date: new Date(0), map: new Map([[1, 2]]), undefined, nan: NaN });
    kid.send('end');
  }),
  'large messages': forked('echo', async (kid) => {
    await once(kid, 'message');
    kid.send('x'.repeat(3_000_000));
    const [back] = await once(kid, 'message');
    kid.send('end');
    return back.length;
  }),
  'many messages': async ({ cp }) => {
    const kid = cp.fork(child, ['echo']);
    await once(kid, 'message');
    const got = [];
    const all = new Promise((resolve) => {
      kid.on('message', (message) => {
        if (got.push(message) === 2000) resolve();
      });
    });
    for (let i = 0; i < 2000; i++) kid.send(i);
    await all;
    kid.send('end');
    await once(kid, 'exit');
    return got.every((value, i) => value === i);
  },
  'advanced serialisation': forked(
    'advanced',
    async (kid) => {
      await once(kid, 'message');
      kid.send({ map: new Map([[1, 2]]), date: new Date(0), big: 5n, bytes: new Uint8Array([1, 2, 3]) });
    },
    { serialization: 'advanced' },
  ),
  'what the child is': forked('self', undefined, { args: ['a b', ''] }),
  options: forked('self', undefined, {
    cwd: '/usr',
    env: { ...process.env, DROP_IN: 'set' },
    execArgv: ['--no-warnings'],
  }),
  'options of stdio': forked('self', undefined, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
  }),
  'not silent': forked('self', undefined, { silent: false }),
  silent: forked('print'),
  execPath: forked('self', undefined, { execPath: process.execPath }),
  'execPath that is not there': async ({ cp, watch }) =>
    watch(cp.fork(child, [], { execPath: '/no/node', silent: true })),
  'a URL': async ({ cp, watch }) => watch(cp.fork(pathToFileURL(child), ['self'], { silent: true })),
  'a module that is not there': async ({ cp, watch }) =>
    (await watch(cp.fork('/no/such/module.js', [], { silent: true }))).events,
  'exit code': forked('exit', undefined, { args: ['5'] }),
  'a child that listens to nothing': forked('none'),
  detached: forked('self', undefined, { detached: true }),
  'disconnect()': forked('stay', async (kid) => {
    await once(kid, 'spawn');
    const before = kid.connected;
    kid.disconnect();
    return [before, kid.connected];
  }),
  'disconnect() twice': forked('stay', async (kid, { errorOf }) => {
    kid.disconnect();
    const [error] = await new Promise((resolve) => {
      kid.once('error', (...all) => resolve(all));
      kid.disconnect();
    });
    return errorOf(error);
  }),
  'send() after disconnect': forked('stay', async (kid, { errorOf }) => {
    kid.disconnect();
    const error = await new Promise((resolve) => kid.send('x', resolve));
    return errorOf(error);
  }),
  'send() after exit': async ({ cp, errorOf }) => {
    const kid = cp.fork(child, ['exit', '0']);
    await once(kid, 'exit');
    return new Promise((resolve) => kid.send('x', (error) => resolve([errorOf(error), kid.connected, kid.channel])));
  },
  'send() answers': forked('echo', async (kid) => {
    await once(kid, 'message');
    const [answer, error] = await new Promise((resolve) => {
      const sent = kid.send('x', (error) => resolve([sent, error]));
    });
    kid.send('end');
    return [answer, error];
  }),
  'send() of nothing': forked('stay', async (kid, { errorOf }) => {
    const threw = [undefined, () => {}, Symbol('s'), 5n].map((value) => {
      try {
        return kid.send(value);
      } catch (error) {
        return errorOf(error);
      }
    });
    kid.kill('SIGKILL');
    return threw;
  }),
  'send() of a wrong handle': forked('stay', async (kid, { errorOf }) => {
    let threw;
    try {
      kid.send('x', {});
    } catch (error) {
      threw = errorOf(error);
    }
    kid.kill('SIGKILL');
    return threw;
  }),
  'kill()': forked('stay', async (kid) => {
    await once(kid, 'spawn');
    return kid.kill();
  }),
  AbortSignal: async ({ cp, watch }) => {
    const controller = new AbortController();
    const kid = cp.fork(child, ['stay'], { signal: controller.signal, killSignal: 'SIGKILL', silent: true });
    const seen = watch(kid);
    controller.abort();
    return seen;
  },
  timeout: async ({ cp, watch }) =>
    watch(cp.fork(child, ['stay'], { timeout: 30, killSignal: 'SIGKILL', silent: true })),
  'the channel': async ({ cp }) => {
    const kid = cp.fork(child, ['stay']);
    const seen = [
      typeof kid.channel.ref,
      typeof kid.channel.unref,
      typeof kid.channel.fd,
      typeof kid.send,
      typeof kid.disconnect,
      kid.connected,
    ];
    kid.channel.unref();
    kid.channel.ref();
    kid.kill('SIGKILL');
    const end = await once(kid, 'exit');
    await new Promise((resolve) => setImmediate(resolve));
    return { seen, end, after: [kid.connected, kid.channel] };
  },
  'a server is passed on': async ({ cp }) => {
    const kid = cp.fork(child, ['server']);
    await once(kid, 'message');
    const server = createServer().listen(0);
    await once(server, 'listening');
    const { port } = server.address();
    kid.send('server', server);
    await once(kid, 'message');
    server.close();
    const said = await text(connect(port));
    return [said, await once(kid, 'exit')];
  },
  'a socket is passed on': async ({ cp }) => {
    const kid = cp.fork(child, ['socket']);
    await once(kid, 'message');
    const server = createServer({ pauseOnConnect: true }).listen(0);
    await once(server, 'listening');
    const client = connect(server.address().port);
    const [socket] = await once(server, 'connection');
    kid.send('it', socket);
    const said = await text(client);
    server.close();
    return [said, await once(kid, 'exit')];
  },
  'a socket that is kept open': async ({ cp }) => {
    const kid = cp.fork(child, ['socket-kept']);
    await once(kid, 'message');
    const server = createServer({ pauseOnConnect: true }).listen(0);
    await once(server, 'listening');
    const client = connect(server.address().port);
    const [socket] = await once(server, 'connection');
    await new Promise((resolve) => kid.send('it', socket, { keepOpen: true }, resolve));
    const open = !socket.destroyed;
    await once(kid, 'exit');
    socket.end('and the parent');
    const said = await text(client);
    server.close();
    return [open, said];
  },
  'a server comes from the child': async ({ cp }) => {
    const kid = cp.fork(child, ['send-server']);
    const [message, server] = await once(kid, 'message');
    const seen = [message, server.constructor.name, server.listening, typeof server.address().port];
    server.on('connection', (socket) => socket.end('answered by the parent'));
    const said = await text(connect(server.address().port));
    server.close();
    kid.send('end');
    return [seen, said, await once(kid, 'exit')];
  },
  'spawn() with a channel': async ({ cp, watch }) =>
    watch(cp.spawn(process.execPath, [child, 'self'], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })),
  'spawn() with a channel at 5': async ({ cp, watch }) =>
    watch(cp.spawn(process.execPath, [child, 'self'], { stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'pipe', 'ipc'] })),
  'spawn() with a channel as stdin': async ({ cp, watch }) =>
    watch(cp.spawn(process.execPath, [child, 'self'], { stdio: ['ipc', 'pipe', 'pipe'] })),
  'a channel to what is no Node': async ({ cp, watch }) => {
    const kid = cp.spawn(
      '/bin/sh',
      [
        '-c',
        'echo \'{"from":"sh"}\' >&$NODE_CHANNEL_FD; read line <&$NODE_CHANNEL_FD; echo "$line"; ' +
          'eval "exec $NODE_CHANNEL_FD>&-"; read end; exit 0',
      ],
      { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] },
    );
    kid.send({ to: 'sh' });
    kid.once('disconnect', () => kid.stdin.end()); // else it and the exit come in either order
    return watch(kid);
  },
  cluster: async ({ cp, which }) => {
    if (which === 'import' || which === 'require') await once(cp.spawn('true'), 'close'); // cluster is Node's own there
    const { default: cluster } = await import('node:cluster');
    cluster.setupPrimary({ exec: child, args: ['echo'], silent: true });
    const worker = cluster.fork();
    const list = [];
    worker.on('online', () => list.push('online'));
    worker.on('message', (message) => {
      list.push(message);
      worker.send(message === 'ready' ? 'again' : 'end');
    });
    const end = await once(worker, 'exit');
    return { list, end, suicide: worker.exitedAfterDisconnect };
  },
};
