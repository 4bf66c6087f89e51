// The stdout of one group as the stdin of another: the other has all of it, since we stop reading.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Stream, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ProcessGroup, type SpawnOptions, type StdioOption, spawn } from '../dist/index.js';
import { waitUntil } from './support/oracle.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'procgroup-lent-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

async function sh(script: string, stdio: StdioOption): Promise<ProcessGroup> {
  return (await spawn('/bin/sh', ['-c', script], { stdio, env: scenario.env })) as ProcessGroup;
}

describe('another group’s stdout', () => {
  const LINES = 60_000;
  const BYTES = Array.from({ length: LINES }, (_, i) => `${i + 1}\n`).join('').length;
  /** Prints how many bytes it has read. */
  const count = `let sum = 0; process.stdin.on('data', ({ length }) => { sum += length; }).on('end', () => console.log(sum));`;
  const counting = (stdin: Stream, options: SpawnOptions = {}) =>
    spawn(process.execPath, ['-e', count], { env: scenario.env, ...options, stdio: [stdin, 'pipe', 'inherit'] });

  it('the other reads all of it, we read nothing, and it counts as ended', async () => {
    const first = await sh(`seq ${LINES}`, ['ignore', 'pipe', 'inherit']);
    const stolen: Buffer[] = [];
    const second = await counting(first.stdout as Readable);
    (first.stdout as Readable).on('data', (data: Buffer) => stolen.push(data));
    expect(await text(second.stdout)).toBe(`${BYTES}\n`);
    expect(stolen).toEqual([]);
    expect(await first.closed).toEqual({ truncated: false, heldBy: [] });
    await Promise.all([first.gone, second.closed, second.gone]);
    await waitUntil(() => (first.stdout as Readable).destroyed, { what: 'our end is closed as well' });
  });

  it('a grandchild that holds it open is not cut off', async () => {
    const script = `{ read go <&4; seq ${LINES}; } 4<&3 3>&- & exit 3`;
    const first = await spawn('/bin/sh', ['-c', script], {
      ...{ env: scenario.env, stdio: ['ignore', 'pipe', 'inherit', 'pipe'], drainMs: 0 },
    });
    const second = await counting(first.stdout as Readable);
    expect(await first.exited).toMatchObject({ code: 3 });
    await waitUntil(() => (first.stdout as Readable).destroyed, { what: 'our end is closed' });
    (first.stdio[3] as Writable).write('go\n');
    expect(await text(second.stdout)).toBe(`${BYTES}\n`);
    await first.gone;
  });

  it('where the other cannot be started we read on', async () => {
    const first = await sh(`seq ${LINES}`, ['ignore', 'pipe', 'inherit']);
    await expect(sh('', [first.stdout as Readable, { file: dir }, 'inherit'])).rejects.toMatchObject({
      code: 'EISDIR',
    });
    expect((await text(first.stdout as Readable)).length).toBe(BYTES);
    const unread = await sh('echo line', ['ignore', 'pipe', 'inherit']);
    const refused = sh('', [unread.stdout as Readable, { file: dir }, 'inherit']);
    await expect(refused).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await unread.closed).toEqual({ truncated: false, heldBy: [] });
  });
});
