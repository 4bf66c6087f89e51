import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  createReadStream,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attach, output, type ProcessGroup, type StdioOption, spawn } from '../dist/index.js';
import { openFds, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { self } from './support/self.js';
import { startMember } from './support/start.js';

const scenario = useScenario();
let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'procgroup-stdio-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

async function sh(script: string, stdio: StdioOption): Promise<ProcessGroup> {
  return (await spawn('/bin/sh', ['-c', script], { stdio, env: scenario.env })) as ProcessGroup;
}

describe('pipes', () => {
  it('the default is ignore, pipe, inherit', async () => {
    const group = await spawn(member, ['exit', '0']);
    expect(group.stdin).toBeNull();
    expect(group.stdout).not.toBeNull();
    expect(group.stderr).toBeNull();
    expect(group.stdio).toHaveLength(3);
    expect((await self()).fds['0']).toBe('/dev/null');
    await group.gone;
  });

  it('are pipes: /dev/stdout and /dev/stderr can be opened again', async () => {
    const group = await sh('echo one > /dev/stdout; echo two > /dev/stderr; cat /dev/stdin', 'pipe');
    (group.stdin as Writable).end('three');
    const said = await Promise.all([text(group.stdout as Readable), text(group.stderr as Readable)]);
    expect(said).toEqual(['one\nthree', 'two\n']);
    expect(await group.closed).toEqual({ truncated: false, heldBy: [] });
  });

  it('are blocking in the child', async () => {
    const { fds } = await self({ stdio: 'pipe' });
    expect(Object.values(fds).every((target) => target.startsWith('pipe:'))).toBe(true);
    const flags = await output('/bin/sh', ['-c', 'cat /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const seen = [...flags.stdout.matchAll(/flags:\s+(\d+)/g)].map(([, octal]) => Number.parseInt(octal ?? '', 8));
    expect(seen).toHaveLength(3);
    expect(seen.filter((one) => one & constants.O_NONBLOCK)).toEqual([]);
  });

  it('16 MiB both ways at once, with back-pressure', async () => {
    const group = (await spawn(member, ['cat'], { stdio: ['pipe', 'pipe', 'inherit'] })) as ProcessGroup;
    const chunk = Buffer.alloc(1 << 20, 'abcdefgh');
    const stdin = group.stdin as Writable;
    let received = 0;
    (group.stdout as Readable).on('data', (data: Buffer) => {
      received += data.length;
    });
    for (let i = 0; i < 16; i++) if (!stdin.write(chunk)) await once(stdin, 'drain');
    stdin.end();
    expect(await group.closed).toEqual({ truncated: false, heldBy: [] });
    expect(received).toBe(16 << 20);
    expect(await group.exited).toMatchObject({ code: 0 });
  });

  it('extra descriptors in both directions', async () => {
    const group = await sh('read line <&3; echo "$line again" >&4', ['ignore', 'ignore', 'inherit', 'pipe', 'pipe']);
    (group.stdio[3] as Writable).write('said\n');
    expect(await text(group.stdio[4] as Readable)).toBe('said again\n');
    await group.gone;
  });

  it('stdio has an entry for each descriptor, with a pipe and without', async () => {
    const shape = async (stdio: StdioOption) => {
      const group = await sh('exit 0', stdio);
      await group.gone;
      return group.stdio.map((stream) => (stream === null ? null : 'stream'));
    };
    expect(await shape('ignore')).toEqual([null, null, null]);
    expect(await shape(['ignore', 'ignore', 'ignore', 'ignore'])).toEqual([null, null, null, null]);
    expect(await shape(['ignore', 'pipe', 'ignore', 'ignore'])).toEqual([null, 'stream', null, null]);
    const group = await sh('exec sleep 60', 'ignore');
    expect((await attach(group.pgid)).stdio).toEqual([]);
    await group.kill();
  });

  it('a gap in the list is ignore', async () => {
    const { fds } = await self({ stdio: [undefined, 'pipe', null, 'ignore', 'pipe'] });
    expect(Object.keys(fds)).toEqual(['0', '1', '2', '3', '4']);
    expect(fds['3']).toBe('/dev/null');
  });

  it('stdin swallows EPIPE once the child has closed it', async () => {
    const { group } = await startMember(scenario, ['close-stdin'], { stdio: ['pipe', 'ignore', 'inherit', 'pipe'] });
    const stdin = group.stdin as Writable;
    stdin.write('x'.repeat(100_000));
    stdin.write('y');
    stdin.end('z');
    await group.kill();
    expect(await group.closed).toMatchObject({ truncated: false });
  });

  it('stdin that nobody ended is closed after the end of the child', async () => {
    const before = openFds().length;
    for (let i = 0; i < 10; i++) {
      const group = await spawn(member, ['exit', '0'], { stdio: ['pipe', 'ignore', 'ignore'], env: scenario.env });
      await Promise.all([group.gone, group.closed]);
    }
    await waitUntil(() => openFds().length <= before, { timeoutMs: 2_000, what: 'all stdin pipes are closed' });
  });

  it('a supervisor that writes to a dead child does not crash', async () => {
    const source = `
      const group = await spawn(member, ['exit', '0'], { stdio: ['pipe', 'ignore', 'inherit'] });
      await group.exited;
      for (let i = 0; i < 5; i++) group.stdin.write('x'.repeat(200_000));
      await group.closed;
      group.stdin.write('late');
      console.log('alive');`;
    expect(await runNode({ source }, { env: scenario.env })).toMatchObject({ code: 0, stdout: 'alive\n', stderr: '' });
  });
});

describe('what is inherited', () => {
  it('inherit, all three', async () => {
    const source = `
      const group = await spawn('/bin/sh', ['-c', 'cat; echo out; echo err >&2'], { stdio: 'inherit' });
      await group.gone;`;
    const run = await runNode({ source }, { env: scenario.env, input: 'in ' });
    expect(run).toMatchObject({ code: 0, stdout: 'in out\n', stderr: 'err\n' });
  });

  it('a descriptor, at its own number and at another', async () => {
    const file = join(dir, 'by-fd');
    const fd = openSync(file, 'w');
    const group = await sh('echo one; echo two >&2', ['ignore', fd, fd]);
    await group.gone;
    closeSync(fd);
    expect(readFileSync(file, 'utf8')).toBe('one\ntwo\n');
  });

  it('descriptors whose targets are each other', async () => {
    // 3 and 4 of the subject are swapped in the child.
    const source = `
      const group = await spawn('/bin/sh', ['-c', 'echo to3 >&3; echo to4 >&4'], { stdio: ['ignore', 'inherit', 'inherit', 4, 3] });
      await group.gone;`;
    const [three, four] = [join(dir, 'three'), join(dir, 'four')];
    const run = await runNode(
      { source },
      { env: scenario.env, via: ['/bin/sh', '-c', `exec 3>'${three}' 4>'${four}'; exec "$@"`, 'sh'] },
    );
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect([readFileSync(three, 'utf8'), readFileSync(four, 'utf8')]).toEqual(['to4\n', 'to3\n']);
  });

  it('a stream: file, socket', async () => {
    const path = join(dir, 'by-stream');
    writeFileSync(path, 'from a file');
    const stream = createReadStream(path);
    await once(stream, 'open');
    const group = await sh('cat', [stream, 'pipe', 'inherit']);
    expect(await text(group.stdout as Readable)).toBe('from a file');
    stream.destroy();

    const server: Server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const accepted = new Promise<Readable>((resolve) => server.once('connection', resolve));
    const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
    await once(socket, 'connect');
    const writer = await sh('echo through a socket', ['ignore', socket, 'inherit']);
    socket.destroy();
    expect(await text(await accepted)).toBe('through a socket\n');
    server.close();
    await Promise.all([group.gone, writer.gone]);
  });
});

describe('files', () => {
  it('flags and mode', async () => {
    const file = join(dir, 'made');
    const umask = process.umask(0o022);
    scenario.defer(() => process.umask(umask));
    const write = async (flags: string | undefined, mode?: number) => {
      const entry = { file, ...(flags && { flags }), ...(mode && { mode }) };
      await (await sh('echo line', ['ignore', entry, 'inherit'])).gone;
      return readFileSync(file, 'utf8');
    };
    expect(await write('wx', 0o640)).toBe('line\n');
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(await write('a')).toBe('line\nline\n');
    expect(await write(undefined)).toBe('line\n');
    await expect(write('wx')).rejects.toMatchObject({ code: 'EEXIST', errno: -17, stage: 'stdio', path: file });
    const read = await sh('cat', [{ file: pathToFileURL(file) }, 'pipe', 'inherit']);
    expect(await text(read.stdout as Readable)).toBe('line\n');
  });

  it('one file for two descriptors is written in turn, by append', async () => {
    const file = join(dir, 'both');
    const entry = { file, flags: 'a' };
    await (await sh('echo one; echo two >&2; echo three', ['ignore', entry, entry])).gone;
    expect(readFileSync(file, 'utf8')).toBe('one\ntwo\nthree\n');
  });

  it('a file that is not there, a directory', async () => {
    const before = openFds().length;
    const missing = join(dir, 'missing');
    await expect(sh('true', [{ file: missing }, 'pipe', 'pipe'])).rejects.toMatchObject({
      name: 'SpawnError',
      code: 'ENOENT',
      stage: 'stdio',
      path: missing,
    });
    await expect(sh('true', ['pipe', { file: dir }, 'pipe'])).rejects.toMatchObject({ code: 'EISDIR', stage: 'stdio' });
    expect(openFds().length).toBe(before);
  });

  it('a FIFO without a reader is a typed error, and does not block', async () => {
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    await expect(sh('echo x', ['ignore', { file: fifo }, 'inherit'])).rejects.toMatchObject({
      name: 'SpawnError',
      code: 'ENXIO',
      stage: 'stdio',
      path: fifo,
    });
    // With a reader it works, and blocks for the child.
    const reader = await sh(`cat <'${fifo}'`, ['ignore', 'pipe', 'inherit']);
    let writer: ProcessGroup | undefined;
    while (!writer) {
      writer = await sh('cat /proc/self/fdinfo/1', ['ignore', { file: fifo }, 'inherit']).catch((error) => {
        expect(error).toMatchObject({ code: 'ENXIO' });
        return undefined;
      });
    }
    const flags = /flags:\s+(\d+)/.exec(await text(reader.stdout as Readable))?.[1] ?? '';
    expect(Number.parseInt(flags, 8) & constants.O_NONBLOCK).toBe(0);
    await Promise.all([reader.gone, writer.gone]);
  });

  it('a FIFO to read from, without a writer, does not block', async () => {
    const fifo = join(dir, 'fifo-in');
    execFileSync('mkfifo', [fifo]);
    const group = await sh('exit 3', [{ file: fifo }, 'ignore', 'inherit']);
    expect(await group.exited).toMatchObject({ code: 3 });
  });
});
