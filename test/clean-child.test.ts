import { constants, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isDead, stat, waitUntil } from './support/oracle.js';
import { readReady } from './support/ready.mjs';
import { runNode, runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import type { Self } from './support/self.js';

const scenario = useScenario();

// The supervisor of each case has stray descriptors without FD_CLOEXEC, ignored and handled signals, and a blocked one in
// its main thread, before the addon is first used.
function subject(body: string): { source: string } {
  return {
    source: `
    try { process.dlopen({ exports: {} }, paths.stray); } catch {}
    const self = async (options) => JSON.parse((await output(member, ['self'], options)).stdout);
    ${body}`,
  };
}

it.each(['group', 'session', 'inherit'])(
  'T5: isolation %s: default dispositions, empty mask, only the listed fds',
  async (isolation) => {
    const [plain, busy, piped] = await runNodeJson<Self[]>(
      subject(`
      const isolation = '${isolation}';
      const plain = await self({ isolation });
      process.on('SIGTERM', () => {}).on('SIGCHLD', () => {}).on('SIGUSR2', () => {});
      const many = Array.from({ length: 300 }, () => nodeFs.openSync('/dev/null'));
      const busy = await self({ isolation, stdio: ['ignore', 'pipe', 'inherit'] });
      const piped = await self({ isolation, stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'pipe', many[0]] });
      for (const fd of many) nodeFs.closeSync(fd);
      console.log(JSON.stringify([plain, busy, piped]));`),
      { env: scenario.env },
    );
    for (const one of [plain, busy, piped]) {
      expect(one).toMatchObject({ SigBlk: '0000000000000000', SigIgn: '0000000000000000', SigCgt: '0000000000000000' });
    }
    expect(Object.keys(plain?.fds ?? {})).toEqual(['0', '1', '2']);
    expect(Object.keys(busy?.fds ?? {})).toEqual(['0', '1', '2']);
    expect(Object.keys(piped?.fds ?? {})).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(piped?.fds['0']).toMatch(/^pipe:/);
    expect(piped?.fds['3']).toBe('/dev/null');
    expect(piped?.fds['5']).toBe('/dev/null');
  },
);

it('T5: control: strayFds inherit, and child_process, hand the stray descriptors on', async () => {
  const [inherit, node] = await runNodeJson<Self[]>(
    subject(`
      const inherit = await self({ strayFds: 'inherit' });
      const node = JSON.parse(String(nodeProcess.execFileSync(member, ['self'])));
      console.log(JSON.stringify([inherit, node]));`),
    { env: scenario.env },
  );
  for (const one of [inherit, node]) {
    expect(one?.fds).toMatchObject({ 700: '/dev/zero', 1500: '/dev/zero' });
  }
  // The engine's own descriptors are never among them.
  expect(Object.values(inherit?.fds ?? {}).filter((target) => target.startsWith('anon_inode'))).toEqual([]);
  // child_process keeps what is ignored and is not one of the first 31.
  expect(node?.SigIgn).not.toBe('0000000000000000');
});

it('T5: a worker thread that blocks signals hands on none of it', async () => {
  const [one] = await runNodeJson<Self[]>(
    subject(`
      const { Worker } = await import('node:worker_threads');
      const worker = new Worker(\`
        const { parentPort } = require('node:worker_threads');
        try { process.dlopen({ exports: {} }, '\${paths.stray}'); } catch {}
        import('\${paths.dist}index.js')
          .then(({ output }) => output('\${member}', ['self']))
          .then(({ stdout }) => parentPort.postMessage(stdout));\`, { eval: true, execArgv: [] });
      worker.once('message', (text) => console.log(JSON.stringify([JSON.parse(text)])));`),
    { env: scenario.env },
  );
  expect(one).toMatchObject({ SigBlk: '0000000000000000', SigIgn: '0000000000000000', SigCgt: '0000000000000000' });
  expect(Object.keys(one?.fds ?? {})).toEqual(['0', '1', '2']);
});

it('strayFds inherit under containment tree, where the limit leaves no room above them', async () => {
  const said = await runNodeJson(
    {
      source: `
      const options = { strayFds: 'inherit', containment: 'tree', stdio: ['ignore', 'pipe', 'inherit'], killWaitMs: 5_000 };
      const group = await spawn('/bin/sh', ['-c', 'sleep 0.3; ulimit -n; exit 3'], options);
      let text = '';
      group.stdout.on('data', (chunk) => { text += chunk; });
      const { code, signal } = await group.exited;
      const { cause, notes } = await group.gone;
      await group.closed;
      console.log(JSON.stringify({ code, signal, cause, notes, limit: text.trim() }));`,
    },
    { env: scenario.env, via: ['/bin/sh', '-c', 'ulimit -n 256; exec "$@"', 'sh'] },
  );
  expect(said).toEqual({ code: 3, signal: null, cause: null, notes: [], limit: '256' });
});

// Node makes the pipes and sockets that it reads and writes itself non-blocking, for all who share them.
describe('0, 1 and 2 are blocking', () => {
  const ours = `
    const { stdin } = process;
    console.log('ours', nodeFs.readFileSync('/proc/self/fdinfo/1', 'latin1'));
    console.error('ours', nodeFs.readFileSync('/proc/self/fdinfo/2', 'latin1'));
    console.log('ours', nodeFs.readFileSync('/proc/self/fdinfo/0', 'latin1'));`;
  const nonBlocking = (text: string) =>
    [...text.matchAll(/flags:\s+(\d+)/g)].map(([, octal]) =>
      Boolean(Number.parseInt(octal ?? '', 8) & constants.O_NONBLOCK),
    );

  for (const given of [`'inherit'`, '[0, 1, 2]', '[stdin, process.stdout, process.stderr]']) {
    it.each(['group', 'tree'])(`T5: given as ${given}, containment %s`, async (containment) => {
      const script = 'cat /proc/self/fdinfo/0 /proc/self/fdinfo/1; cat /proc/self/fdinfo/2 >&2';
      const source = `${ours}
        const options = { containment: '${containment}', stdio: ${given} };
        const { exited, gone } = await spawn('/bin/sh', ['-c', '${script}'], options);
        process.exitCode = (await exited).code;
        await gone;
        stdin.destroy();`;
      const run = await runNode({ source }, { env: scenario.env, input: '' });
      expect(run.code, run.stderr).toBe(0);
      // Control: before the spawn they are not. What Node has not written to yet is told of too early.
      expect(nonBlocking(run.stdout)).toEqual([expect.any(Boolean), true, false, false]);
      expect(nonBlocking(run.stderr)).toEqual([expect.any(Boolean), false]);
    });
  }

  it('T5: a command whose reader starts late loses none of its output', async () => {
    const source = `
      console.log('begin');
      const group = await spawn('seq', ['1', '100000'], { stdio: ['ignore', 'inherit', 'inherit'] });
      console.error('ready ' + JSON.stringify({ pid: group.pid }));
      process.exitCode = (await group.exited).code;
      await group.gone;`;
    const subject = startNode({ source }, { env: scenario.env });
    const { stdout, stderr } = subject;
    if (!stdout || !stderr) return expect.fail('no pipes');
    const ended = new Promise((resolve) => subject.once('close', resolve));
    const { pid } = await readReady<{ pid: number }>(stderr);
    stderr.pipe(process.stderr);
    // It has filled the pipe: it waits for the reader, or has been refused.
    const written = () => Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1]);
    await waitUntil(() => isDead(pid) || (written() > 50_000 && stat(pid)?.state === 'S'), { what: 'a full pipe' });
    let text = '';
    stdout.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    expect(await ended).toBe(0);
    const lines = text.trim().split('\n');
    expect([lines.length, lines[1], lines.at(-1)]).toEqual([100_001, '1', '100000']);
  });
});
