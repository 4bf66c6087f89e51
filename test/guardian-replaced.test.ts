// The package is installed again, or removed, under a process that runs: what lies in the place of its guardian then may be of
// another build. From there on trees are started by the copy that the addon carries.
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import { type Installed, install } from './support/installed.js';
import { build, root } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const MEMORY = '/memfd:procgroup-guardian (deleted)';
const scenario = useScenario();
let installed: Installed;
beforeEach(() => {
  installed = install(scenario);
});

/** tree() and child() answer with what the guardian of a new tree runs, or the code and stage of the refusal. */
const prelude = `
  const index = process.argv.at(-2), guardian = process.argv.at(-1);
  const copy = await import(index);
  const dropIn = await import(index.replace('index.js', 'child-process.js'));
  const exeOf = (pid) => nodeFs.readlinkSync('/proc/' + /^PPid:\\s+(\\d+)/m.exec(nodeFs.readFileSync('/proc/' + pid + '/status', 'utf8'))[1] + '/exe');
  const tree = async () => {
    try {
      const group = await copy.spawn(member, ['sleep'], { stdio: 'ignore', teardown: [] });
      const exe = exeOf(group.pid);
      await group.stop();
      return exe;
    } catch ({ code, stage }) { return [code, stage]; }
  };
  const child = async () => {
    const made = dropIn.spawn(member, ['sleep'], { stdio: 'ignore', containment: 'tree', teardown: [] });
    const failed = new Promise((resolve) => made.on('error', ({ code }) => resolve(code)));
    const exe = made.pid ? exeOf(made.pid) : await failed;
    await made.stop();
    return exe;
  };`;
const run = (source: string) =>
  runNodeJson({ source: prelude + source }, { args: [installed.index, installed.guardian], env: scenario.env });

it('control: the file, for as long as it stays as it is', async () => {
  const seen = await run('console.log(JSON.stringify([await tree(), await child(), await tree()]));');
  expect(seen).toEqual([installed.guardian, installed.guardian, installed.guardian]);
});

it.each([
  ['removed', 'nodeFs.rmSync(guardian);'],
  ['replaced', "nodeFs.renameSync(guardian + '.new', guardian);"],
  [
    'made anew with the same bytes',
    "nodeFs.copyFileSync(guardian, guardian + '.copy'); nodeFs.renameSync(guardian + '.copy', guardian);",
  ],
  ['without its exec bit', 'nodeFs.chmodSync(guardian, 0o644);'],
])('%s after the first tree', async (_name, change) => {
  cpSync(`${root}test/.build/deny`, `${installed.guardian}.new`);
  const seen = await run(`
    const first = await tree();
    ${change}
    console.log(JSON.stringify([first, await tree(), await child(), await tree()]));`);
  expect(seen).toEqual([installed.guardian, MEMORY, MEMORY, MEMORY]);
});

it('of another build from the start: refused once', async () => {
  const real = `${installed.guardian}.real`;
  renameSync(installed.guardian, real);
  cpSync(`${build}fakeguardian`, installed.guardian);
  const fake = `Object.assign(process.env, { FAKE_GUARDIAN: 'o0:build', FAKE_GUARDIAN_REAL: ${JSON.stringify(real)} });`;
  const refused = ['EPROTO', 'guardian'];
  expect(await run(`${fake} console.log(JSON.stringify([await tree(), await tree(), await child()]));`)).toEqual([
    refused,
    MEMORY,
    MEMORY,
  ]);
  rmSync(real);
});

it('damaged, or for another architecture: refused once, and never read as a script', async () => {
  writeFileSync(installed.guardian, '\0no program\n', { mode: 0o755 });
  expect(await run('console.log(JSON.stringify([await tree(), await tree(), await child()]));')).toEqual([
    ['ENOEXEC', 'guardian'],
    MEMORY,
    MEMORY,
  ]);
});

it('lost between the look and the start: the error is of the guardian, not of the program', async () => {
  const seen = await run(`
    await tree();
    const { statSync } = nodeFs;
    const kept = statSync(guardian);
    nodeFs.rmSync(guardian);
    nodeFs.statSync = (path, ...more) => (path === guardian ? kept : statSync(path, ...more));
    const lost = await tree();
    console.log(JSON.stringify([lost, await tree()]));`);
  expect(seen).toEqual([['ENOENT', 'guardian'], MEMORY]);
});
