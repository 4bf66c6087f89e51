// One busy thread: it keeps the locks of its process in use (malloc, the resolver, TLS, crypto) until it is told to stop.
import { createHash, pbkdf2, randomBytes } from 'node:crypto';
import { lookup } from 'node:dns';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { connect, createServer } from 'node:tls';
import { parentPort } from 'node:worker_threads';

// Of this thread alone, setpriority(2): busy all the time, but two cores also have 2,000 Nodes to start.
setPriority(constants.priority.PRIORITY_LOW);

const key = { psk: randomBytes(32), identity: 'busy' };
const common = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' };
const server = createServer({ ...common, pskCallback: () => key.psk, pskIdentityHint: 'busy' }, (socket) =>
  socket.end('x'),
);
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const done = { rounds: 0, handshakes: 0 };
let stop = false;
parentPort.once('message', () => {
  stop = true;
});

const resolve = () => new Promise((settle) => lookup('localhost', settle));
const derive = () => new Promise((settle) => pbkdf2('a', 'b', 300, 32, 'sha256', settle));
const shake = () =>
  new Promise((settle) => {
    const options = { ...common, host: '127.0.0.1', port: server.address().port };
    const socket = connect({ ...options, checkServerIdentity() {}, pskCallback: () => key });
    socket.once('secureConnect', () => done.handshakes++);
    socket.resume().on('error', settle).on('close', settle);
  });

parentPort.postMessage('busy');
while (!stop) {
  const kept = [];
  for (let i = 0; i < 100; i++) kept.push(Buffer.allocUnsafeSlow(1024 + i), createHash('sha1').update(`${i}`).digest());
  await Promise.all([resolve(), derive(), shake()]);
  done.rounds++;
  await new Promise(setImmediate);
}
server.close();
parentPort.postMessage(done);
