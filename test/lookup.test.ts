import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { output } from '../dist/index.js';
import { member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
let dir = '';
const at = (...parts: string[]) => join(dir, ...parts);

function script(path: string, text: string, mode = 0o755): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}

// Busy spawners in other tests are gone, but a file that was just written may still be ETXTBSY for a moment elsewhere:
// the scripts are all made before the first spawn.
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'procgroup-lookup-'));
  for (const name of ['one', 'two', 'denied', 'cwd', 'cwd/bin']) mkdirSync(at(name));
  script(at('one', 'tool'), '#!/bin/sh\necho one "$0" "$@"\n');
  script(at('two', 'tool'), '#!/bin/sh\necho two\n');
  script(at('denied', 'tool'), '#!/bin/sh\necho denied\n', 0o644);
  script(at('cwd', 'here'), '#!/bin/sh\necho here\n');
  script(at('cwd', 'bin', 'deep'), '#!/bin/sh\necho deep\n');
  script(at('one', 'headless'), 'echo headless "$@"\n');
  script(at('one', 'lost'), '#!/no/such/interpreter\n');
  script(at('one', 'spaced name'), '#!/bin/sh\necho spaced\n');
  mkdirSync(at('one', 'folder'));
  symlinkSync(at('one', 'tool'), at('two', 'linked'));
  symlinkSync(at('one', 'loop'), at('one', 'loop'));
  copyFileSync(member, at('two', 'binary'));
});
afterAll(() => rmSync(dir, { recursive: true }));

it("the look-up follows the child's PATH, not ours", async () => {
  expect(await output('tool', ['a'], { env: { PATH: `${at('one')}:${at('two')}` } })).toMatchObject({
    stdout: `one ${at('one', 'tool')} a\n`,
  });
  expect(await output('tool', [], { env: { PATH: at('two') } })).toMatchObject({ stdout: 'two\n' });
  await expect(output('tool', [], { env: { PATH: '/usr/bin:/bin' } })).rejects.toMatchObject({
    name: 'SpawnError',
    code: 'ENOENT',
    errno: -2,
    path: 'tool',
  });
  const path = process.env.PATH;
  process.env.PATH = at('one');
  try {
    expect(await output('tool')).toMatchObject({ stdout: expect.stringContaining('one') });
    await expect(output('tool', [], { env: { PATH: '/nowhere' } })).rejects.toMatchObject({ code: 'ENOENT' });
  } finally {
    process.env.PATH = path;
  }
});

it('an env without PATH uses the default path of execvp', async () => {
  expect(await output('true', [], { env: {} })).toMatchObject({ code: 0 });
});

it('an empty or relative element of PATH is relative to the cwd of the child', async () => {
  const cwd = at('cwd');
  expect(await output('here', [], { cwd, env: { PATH: ':/bin' } })).toMatchObject({ stdout: 'here\n' });
  expect(await output('here', [], { cwd, env: { PATH: '/bin:' } })).toMatchObject({ stdout: 'here\n' });
  expect(await output('deep', [], { cwd, env: { PATH: 'bin:/bin' } })).toMatchObject({ stdout: 'deep\n' });
  await expect(output('here', [], { cwd, env: { PATH: '/bin' } })).rejects.toMatchObject({ code: 'ENOENT' });
});

it('a name with a slash is not looked up, and is relative to the cwd of the child', async () => {
  const cwd = at('cwd');
  expect(await output('./here', [], { cwd })).toMatchObject({ stdout: 'here\n' });
  expect(await output('bin/deep', [], { cwd })).toMatchObject({ stdout: 'deep\n' });
  await expect(output('./here', [], { cwd: at('one') })).rejects.toMatchObject({ code: 'ENOENT' });
});

it('a relative cwd', async () => {
  const cwd = relative(process.cwd(), at('cwd'));
  expect(await output('./here', [], { cwd })).toMatchObject({ stdout: 'here\n' });
});

it('a file that cannot be executed is passed over; EACCES if nothing else is found', async () => {
  expect(await output('tool', [], { env: { PATH: `${at('denied')}:${at('two')}` } })).toMatchObject({
    stdout: 'two\n',
  });
  await expect(output('tool', [], { env: { PATH: `${at('denied')}:/nowhere` } })).rejects.toMatchObject({
    code: 'EACCES',
    errno: -13,
  });
  await expect(output('folder', [], { env: { PATH: at('one') } })).rejects.toMatchObject({ code: 'EACCES' });
});

it('a PATH element that is a file, is not there or is a loop is passed over', async () => {
  const path = [at('one', 'tool'), '/nowhere', at('one', 'loop'), at('two')].join(':');
  expect(await output('tool', [], { env: { PATH: path } })).toMatchObject({ stdout: 'two\n' });
});

it('a script without #! is run by /bin/sh, as execvp does', async () => {
  const env = { PATH: at('one') };
  expect(await output('headless', ['x', 'y z'], { env })).toMatchObject({ code: 0, stdout: 'headless x y z\n' });
  expect(await output(at('one', 'headless'), ['x'])).toMatchObject({ code: 0, stdout: 'headless x\n' });
});

it('symlinks, spaces, and a missing interpreter', async () => {
  const env = { PATH: `${at('one')}:${at('two')}` };
  expect(await output('linked', [], { env })).toMatchObject({ stdout: expect.stringContaining('one') });
  expect(await output('spaced name', [], { env })).toMatchObject({ stdout: 'spaced\n' });
  await expect(output('lost', [], { env })).rejects.toMatchObject({ code: 'ENOENT', stage: 'exec' });
  await expect(output(at('one', 'lost'))).rejects.toMatchObject({ code: 'ENOENT', stage: 'exec' });
  await expect(output(at('one', 'loop'))).rejects.toMatchObject({ code: 'ELOOP' });
});

it('a directory that may not be searched is passed over, and gives EACCES if nothing else is found', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('needs root');
  const hidden = at('hidden');
  mkdirSync(hidden);
  script(join(hidden, 'tool'), '#!/bin/sh\necho hidden\n');
  chmodSync(hidden, 0o600);
  chmodSync(dir, 0o755);
  const source = `
    const { PATH } = { PATH: process.argv.at(-1) };
    const found = await output('tool', [], { env: { PATH: PATH + ':${at('two')}' } }).then((r) => r.stdout);
    const error = await output('tool', [], { env: { PATH } }).catch((e) => e.code);
    console.log(JSON.stringify([found, error]));`;
  const seen = await runNodeJson(
    { source },
    {
      args: [hidden],
      env: scenario.env,
      via: ['setpriv', '--reuid', '64999', '--regid', '64999', '--clear-groups'],
    },
  );
  expect(seen).toEqual(['two\n', 'EACCES']);
});
