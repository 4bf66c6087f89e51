// What the cases fork. Usage: child.mjs VERB [ARGS].
import { createServer } from 'node:net';

const [verb, ...args] = process.argv.slice(2);
const verbs = {
  /** Sends each message back, ends at 'end'. */
  echo() {
    process.on('message', (message) => {
      if (message === 'end') process.disconnect();
      else process.send(message);
    });
    process.send('ready');
  },
  /** Says what it is. */
  self() {
    process.send(
      {
        args,
        execArgv: process.execArgv,
        connected: process.connected,
        env: process.env.DROP_IN,
        cwd: process.cwd(),
        channel: typeof process.channel?.fd,
        serialization: process.env.NODE_CHANNEL_SERIALIZATION_MODE ?? null,
        fd: process.env.NODE_CHANNEL_FD ?? null,
        stdio: [process.stdin, process.stdout, process.stderr].map((stream) => stream.constructor.name),
      },
      () => process.disconnect(),
    );
  },
  print() {
    console.log('out');
    console.error('err');
    process.disconnect();
  },
  exit: () => process.exit(Number(args[0])),
  /** Answers one connection on the server that it is sent. */
  server() {
    process.on('message', (_message, server) => {
      server.on('connection', (socket) => {
        socket.end('answered by the child');
        server.close();
        process.disconnect();
      });
      process.send('listening');
    });
    process.send('ready');
  },
  /** Writes to the socket that it is sent. */
  socket() {
    process.on('message', (message, socket) => {
      socket.end(`the child has ${message}`);
      socket.on('close', () => process.disconnect());
    });
    process.send('ready');
  },
  /** Writes to the socket that it is sent, and lets go of it. */
  'socket-kept'() {
    process.on('message', (message, socket) => {
      socket.write(`the child has ${message}, `, () => {
        socket.destroy();
        process.disconnect();
      });
    });
    process.send('ready');
  },
  /** Sends a server of its own. */
  'send-server'() {
    const server = createServer((socket) => socket.end('unused')).listen(0, () =>
      process.send('server', server, () => server.close()),
    );
    process.on('message', () => process.disconnect());
  },
  advanced() {
    process.on('message', (message) => {
      process.send(
        {
          map: message.map instanceof Map,
          date: message.date instanceof Date,
          big: typeof message.big,
          bytes: message.bytes?.length,
          back: message,
        },
        () => process.disconnect(),
      );
    });
    process.send('ready');
  },
  stay: () => process.on('message', () => {}),
  none: () => {},
};
verbs[verb]();
