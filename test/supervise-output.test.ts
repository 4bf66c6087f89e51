// What a supervised command prints: its end is kept, in bounds, or it is handed on as lines or as streams.
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { ProcessGroup } from '../dist/index.js';
import { type SuperviseOptions, supervise } from '../dist/supervise.js';
import { waitUntil } from './support/oracle.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const teardown = [{ signal: 'SIGTERM', graceMs: 200 }] as const;

describe('output', () => {
  const sh = (script: string, options: SuperviseOptions = {}) =>
    supervise('/bin/sh', ['-c', script], { env: scenario.env, teardown, ...options });

  it('output: the tail of each stream is kept, by characters', async () => {
    expect((await sh('echo out; echo err >&2').outcome).output).toEqual({
      stdout: 'out\n',
      stderr: 'err\n',
      truncated: false,
    });
    const long = await sh('seq 1 200000; seq 1 100000 >&2', { tailChars: 1_000 }).outcome;
    expect(long.output?.stdout).toHaveLength(1_000);
    expect(long.output?.stdout.endsWith('\n199999\n200000\n')).toBe(true);
    expect(long.output?.stderr.endsWith('\n99999\n100000\n')).toBe(true);
    expect(long.output?.truncated).toBe(true);
    expect((await sh('echo x', { tailChars: 0 }).outcome).output).toEqual({ stdout: '', stderr: '', truncated: true });
    expect((await sh('printf 12345678', { tailChars: 8 }).outcome).output).toMatchObject({
      stdout: '12345678',
      truncated: false,
    });
    // A character that comes in pieces, or would be cut in two, is kept whole or not at all.
    const pieces = await sh("printf 'ä😀€\\303'; sleep 0.1; printf '\\244€😀'", { tailChars: 6 }).outcome;
    expect(pieces.output).toEqual({ stdout: '€ä€😀', stderr: '', truncated: true });
  });

  it('output: lines arrive whole, by stream; the last one needs no end, a long one comes in pieces', async () => {
    const lines: [string, string][] = [];
    const script = `printf 'a\\nb'; sleep 0.05; printf 'c\\n\\nlast'; echo e >&2; head -c 150000 /dev/zero | tr '\\0' x >&2`;
    await sh(script, { onLine: (line, source) => lines.push([source, line]) }).outcome;
    const of = (name: string) => lines.filter(([source]) => source === name).map(([, line]) => line);
    expect(of('stdout')).toEqual(['a', 'bc', '', 'last']);
    expect(of('stderr').map((line) => line.length)).toEqual([1, 65_536, 65_536, 150_000 - 2 * 65_536]);
  });

  it('output: streams are the reader’s own', async () => {
    const chunks: string[] = [];
    const outcome = await sh('echo out; echo err >&2', {
      output: 'streams',
      onRun: ({ stdout, stderr }) => {
        for (const stream of [stdout, stderr] as Readable[]) stream.on('data', (chunk) => chunks.push(String(chunk)));
      },
    }).outcome;
    expect(outcome.output).toBeNull();
    await waitUntil(() => chunks.length === 2);
    expect(chunks.sort()).toEqual(['err\n', 'out\n']);
  });

  it('output: a stream that nobody reads does not hold the end up; ignore and inherit have none', async () => {
    const task = sh('echo out', { output: 'streams' });
    expect(await task.outcome).toMatchObject({ kind: 'exited', output: null });
    let seen: unknown[] = [];
    const onRun = ({ stdin, stdout, stderr }: ProcessGroup) => {
      seen = [stdin, stdout, stderr];
    };
    expect(await sh('echo out', { output: 'ignore', onRun }).outcome).toMatchObject({
      exit: { code: 0 },
      output: null,
    });
    expect(seen).toEqual([null, null, null]);
    const file = await sh('cat', { stdin: { file: '/proc/self/comm' } }).outcome;
    expect(file.output?.stdout).toMatch(/./);
  });

  it('output: what a callback throws is an uncaught exception, and no end', async () => {
    const source = `
      const { supervise } = await import(paths.dist + 'supervise.js');
      const thrown = [];
      process.on('uncaughtException', (error) => thrown.push(error.message));
      const task = supervise('/bin/sh', ['-c', 'echo a; echo b'], {
        onLine: (line) => { throw new Error(line); }, onRun: () => { throw new Error('run'); },
      });
      const { kind, exit } = await task.outcome;
      console.log(JSON.stringify([thrown, kind, exit.code]));`;
    const run = await runNode({ source }, { env: scenario.env });
    expect(JSON.parse(run.stdout)).toEqual([['run', 'a', 'b'], 'exited', 0]);
  });

  it('T4: 100 MiB that nobody wants are read, and kept in bounds', async () => {
    const source = `
      const { supervise } = await import(paths.dist + 'supervise.js');
      let lines = 0;
      const script = "head -c 104857600 /dev/zero | tr '\\\\0' x >&2; seq 1 300000";
      const task = supervise('/bin/sh', ['-c', script], { onLine: () => lines++ });
      const { kind, output: kept } = await task.outcome;
      globalThis.gc();
      const heap = process.memoryUsage().heapUsed;
      console.log(JSON.stringify({ kind, lines, heap, kept: [kept.stdout.length, kept.stderr.length] }));`;
    const answer = await runNodeJson<{ heap: number }>({ source }, { env: scenario.env, nodeArgs: ['--expose-gc'] });
    expect(answer).toMatchObject({ kind: 'exited', lines: 301_600, kept: [65_536, 65_536] });
    expect(answer.heap).toBeLessThan(32 << 20);
  });
});
