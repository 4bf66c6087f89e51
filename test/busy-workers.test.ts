// Spawning from a process with 22 busy threads: no child inherits a locked lock, so none hangs.
import { describe, expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

/** Keeps malloc, the resolver, TLS and the crypto of its process busy: the locks that a plain fork would copy. */
const busy = `
  import { parentPort } from 'node:worker_threads';
  import { lookup } from 'node:dns';
  import { createHash, pbkdf2, randomBytes } from 'node:crypto';
  import { connect, createServer } from 'node:tls';
  const psk = { psk: randomBytes(32), identity: 'x' };
  const common = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' };
  const server = createServer({ ...common, pskCallback: () => psk.psk, pskIdentityHint: 'x' }, (socket) => socket.end('x'));
  server.on('tlsClientError', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const done = { rounds: 0, tls: 0 };
  let stop = false;
  parentPort.on('message', () => { stop = true; });
  parentPort.postMessage('busy');
  const turn = () => new Promise(setImmediate);
  const resolve = () => new Promise((done) => lookup('localhost', done));
  const derive = () => new Promise((done) => pbkdf2('x', 'y', 500, 32, 'sha256', done));
  const shake = () => new Promise((done) => {
    const socket = connect({ ...common, host: '127.0.0.1', port: server.address().port, checkServerIdentity() {},
      pskCallback: () => psk });
    socket.resume().on('error', done).on('close', done).on('end', () => { if (socket.getCipher()) counts(); });
  });
  const counts = () => { done.tls++; };
  while (!stop) {
    const kept = [];
    for (let i = 0; i < 200; i++) kept.push(Buffer.allocUnsafeSlow(1024 + i), createHash('sha1').update(String(i)).digest());
    await Promise.all([resolve(), derive(), shake()]);
    done.rounds++;
    await turn();
  }
  server.close();
  parentPort.postMessage(done);
  parentPort.close();
`;

interface Answer {
  failures: unknown[];
  right: number;
  workers: { rounds: number; tls: number }[];
  fds: number;
  zombies: number;
  children: number;
}

describe('T1 spawning next to 22 busy threads', () => {
  const scenario = useScenario();

  it('T1 no spawn hangs or fails, nothing is left', async () => {
    const count = scaled(2000);
    const answer = await runNodeJson<Answer>(
      {
        source: `
          import { Worker } from 'node:worker_threads';
          const count = Number(process.argv.at(-1));
          const source = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(busy)}));
          const workers = Array.from({ length: 22 }, () => new Worker(source));
          const next = (worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
          await Promise.all(workers.map(next));
          await (await spawn(member, ['exit', '0'], { stdio: 'ignore' })).gone;
          // The busy threads' own come and go: their sockets, and what the resolver reads.
          const countFds = () => oracle.openFds().filter(({ target }) => !/^(socket:|\\/etc\\/)/.test(target)).length;
          const before = countFds();
          const failures = [];
          let right = 0;
          let left = count;
          async function lane() {
            while (left-- > 0) {
              const code = left % 100;
              try {
                const group = await spawn(member, ['exit', String(code)], { stdio: 'ignore' });
                const exit = await group.exited;
                const report = await group.gone;
                if (exit.code === code && report.empty) right++;
                else failures.push({ code, exit, report });
              } catch (error) {
                failures.push(String(error));
              }
            }
          }
          await Promise.all(Array.from({ length: 32 }, lane));
          const fds = countFds() - before;
          const zombies = oracle.zombieChildrenOf().length;
          const children = oracle.childrenOf().length;
          const counts = workers.map(next);
          for (const worker of workers) worker.postMessage('stop');
          console.log(JSON.stringify({ failures, right, workers: await Promise.all(counts), fds, zombies, children }));`,
      },
      { args: [String(count)], env: scenario.env, timeoutMs: 300_000 },
    );
    expect(answer.failures.slice(0, 3)).toEqual([]);
    expect(answer).toMatchObject({ right: count, fds: 0, zombies: 0, children: 0 });
    expect(answer.workers).toHaveLength(22);
    const idle = answer.workers.filter(({ rounds, tls }) => rounds === 0 || tls === 0);
    expect(idle, 'control: the threads were busy, TLS included').toEqual([]);
  }, 360_000);
});
