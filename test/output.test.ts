import { expect, it } from 'vitest';
import { AbortError, output } from '../dist/index.js';
import { member } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const both = { stdio: ['ignore', 'pipe', 'pipe'] } as const;

it('collects code, signal, stdout and stderr; a non-zero exit is data', async () => {
  const result = await output('/bin/sh', ['-c', 'printf out; printf err >&2; exit 9'], both);
  expect(result).toMatchObject({
    code: 9,
    signal: null,
    stdout: 'out',
    stderr: 'err',
    truncated: false,
    exit: { code: 9, status: 'exact', coreDumped: false },
    report: { empty: true, cause: null },
  });
  expect(await output(member, ['die', '15'])).toMatchObject({ code: null, signal: 'SIGTERM', stdout: '', stderr: '' });
});

it('maxBytes: exactly as many are not truncated, one more is; the rest is read and dropped', async () => {
  const take = (bytes: number, maxBytes: number) =>
    output(member, ['print', String(bytes), String(bytes)], { ...both, maxBytes });
  const exact = await take(1000, 1000);
  expect([exact.stdout.length, exact.stderr.length, exact.truncated]).toEqual([1000, 1000, false]);
  const more = await take(1001, 1000);
  expect([more.stdout.length, more.stderr.length, more.truncated]).toEqual([1000, 1000, true]);
  const much = await take(20_000_000, 5);
  expect(much).toMatchObject({ code: 0, stdout: 'xxxxx', stderr: 'xxxxx', truncated: true });
  expect(await take(10, 0)).toMatchObject({ code: 0, stdout: '', stderr: '', truncated: true });
});

it('the default maxBytes is 1 MiB', async () => {
  const result = await output(member, ['print', String((1 << 20) + 1), '0']);
  expect(result.stdout.length).toBe(1 << 20);
  expect(result.truncated).toBe(true);
});

it('input is written to stdin, which is then closed', async () => {
  expect(await output(member, ['cat'], { input: 'grüß' })).toMatchObject({ code: 0, stdout: 'grüß' });
  const big = Buffer.alloc(3 << 20, 7);
  const back = await output(member, ['cat'], { input: big, encoding: 'buffer', maxBytes: 4 << 20 });
  expect(Buffer.isBuffer(back.stdout)).toBe(true);
  expect(big.equals(back.stdout as unknown as Buffer)).toBe(true);
  expect(await output(member, ['cat'], { input: '' })).toMatchObject({ code: 0, stdout: '' });
  // A child that does not read its input is no error.
  expect(await output(member, ['exit', '2'], { input: big })).toMatchObject({ code: 2 });
});

it('encoding', async () => {
  const bytes = Buffer.from([0xff, 0x00, 0xe4]);
  expect(await output(member, ['cat'], { input: bytes, encoding: 'hex' })).toMatchObject({ stdout: 'ff00e4' });
  expect(await output(member, ['cat'], { input: bytes, encoding: 'latin1' })).toMatchObject({ stdout: 'ÿ\0ä' });
  expect((await output(member, ['cat'], { input: bytes, encoding: 'buffer' })).stdout).toEqual(bytes);
});

it('a character cut by maxBytes or by a chunk boundary is not mangled into the next one', async () => {
  const euro = '€'.repeat(50_000);
  expect(await output(member, ['cat'], { input: euro })).toMatchObject({ stdout: euro });
  const cut = await output(member, ['cat'], { input: '€€', maxBytes: 4 });
  expect(cut.truncated).toBe(true);
  expect(cut.stdout.startsWith('€')).toBe(true);
});

it('truncated, where a grandchild holds the pipe: settles after drainMs, and leaves nothing', async () => {
  const result = await output(member, ['holds-stdout', '5'], { env: scenario.env, drainMs: 100 });
  expect(result).toMatchObject({ code: 5, truncated: true });
  expect(result.stdout).toContain('ready');
  expect(result.report).toMatchObject({ empty: true });
  expect(scenario.alive()).toEqual([]);
});

it('timeoutMs and an abort end it with what was read so far', async () => {
  const timed = await output('/bin/sh', ['-c', 'echo begin; exec sleep 300'], { env: scenario.env, timeoutMs: 200 });
  expect(timed).toMatchObject({ code: null, signal: 'SIGTERM', stdout: 'begin\n', report: { cause: 'timeout' } });
  const aborted = output(member, ['sleep'], { env: scenario.env, signal: AbortSignal.abort('no') });
  await expect(aborted).rejects.toBeInstanceOf(AbortError);
});

it('takes its options second too, as spawn does, and refuses what it cannot take', async () => {
  expect(await output('cat', { input: 'y' })).toMatchObject({ code: 0, stdout: 'y' });
  expect((await output('cat', { input: 'y', encoding: 'buffer' })).stdout).toEqual(Buffer.from('y'));
  const bad = [
    output('cat', [], 5 as never),
    output('cat', 'x' as never),
    output('cat', { maxBytes: -1 }),
    output('cat', { stdio: 5 as never }),
  ];
  for (const one of bad) await expect(one).rejects.toMatchObject({ name: 'ProcessGroupError' });
  const nowhere = output('cat', { input: 'y', stdio: 'ignore' });
  await expect(nowhere).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
});

it('a program that is not there rejects as spawn does', async () => {
  await expect(output('/nowhere')).rejects.toMatchObject({ name: 'SpawnError', code: 'ENOENT', path: '/nowhere' });
});
