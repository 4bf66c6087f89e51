// The switches of this suite are none of an installed package: its environment cannot choose the code that it loads.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { finish, startCli } from './support/cli.js';
import { root } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

interface Seen {
  addon: string;
  spawn: string;
  guardian: string;
}

const SUBJECT = `
  const { spawn } = await import(process.argv.at(-1));
  const { binding } = await import(new URL('native.js', process.argv.at(-1)));
  const told = (error) => error.code ?? String(error);
  let addon = 'own';
  try { binding(); } catch (error) { addon = told(error); }
  const group = await spawn('true', [], { stdio: 'ignore', containment: 'group' }).catch(() => null);
  await group?.gone;
  const tree = await spawn('true', [], { stdio: 'ignore', containment: 'tree' }).catch(told);
  await tree.gone;
  console.log(JSON.stringify({ addon, spawn: group?.mechanism.spawn ?? '', guardian: tree.pid ? 'own' : tree }));`;

describe('PROCGROUP_TEST_ switches', () => {
  const scenario = useScenario();

  /** What a package holds, with the addon and the guardian of the build; with `suite` also the suite's marker. */
  function install(suite = false): string {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-installed-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    const built = ['build/Release/procgroup-guardian', 'build/Release/addon.node', 'native/addon/exports.map'];
    for (const name of ['package.json', 'dist', 'prebuilds', 'bin', ...built]) {
      if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    if (suite) {
      mkdirSync(join(folder, 'test/support/native'), { recursive: true });
      writeFileSync(join(folder, 'test/support/native/fakeguardian.c'), '');
    }
    return folder;
  }

  const see = (folder: string, env: NodeJS.ProcessEnv) =>
    runNodeJson<Seen>(
      { source: SUBJECT },
      { args: [`file://${folder}/dist/index.js`], env: { ...scenario.env, ...cleared, ...env }, bare: true },
    );
  const cleared = { PROCGROUP_TEST_ADDON: '', PROCGROUP_TEST_GUARDIAN: '', PROCGROUP_TEST_DISABLE: '' };
  const nowhere = { PROCGROUP_TEST_ADDON: '/nonexistent/addon.node', PROCGROUP_TEST_GUARDIAN: '/nonexistent/guardian' };

  it('an installed package loads its own addon, starts its own guardian and uses what the kernel has', async () => {
    const installed = install();
    const plain = await see(installed, {});
    expect(plain).toMatchObject({ addon: 'own', guardian: 'own' });
    expect(await see(installed, { ...nowhere, PROCGROUP_TEST_DISABLE: 'clone3' })).toEqual(plain);
  });

  it('control: with the suite beside it each of them is honoured', async () => {
    const folder = install(true);
    const { spawn } = await see(folder, {});
    expect(await see(folder, { PROCGROUP_TEST_ADDON: nowhere.PROCGROUP_TEST_ADDON })).toMatchObject({
      addon: 'MODULE_NOT_FOUND',
    });
    const { PROCGROUP_TEST_GUARDIAN } = nowhere;
    expect(await see(folder, { PROCGROUP_TEST_GUARDIAN })).toMatchObject({ addon: 'own', guardian: 'ENOENT' });
    expect(await see(folder, { PROCGROUP_TEST_DISABLE: 'clone3' })).toMatchObject({
      spawn: spawn === 'clone3' ? 'clone' : spawn,
    });
  });

  it('`procgroup run` of an installed package starts its own guardian', async () => {
    const env = { ...scenario.env, PROCGROUP_TEST_GUARDIAN: '/bin/false' };
    const run = (folder: string) =>
      finish(startCli(['run', 'sh', '-c', 'exit 8'], { env, file: join(folder, 'bin/procgroup') }));
    expect((await run(install())).code).toBe(8);
    expect((await run(install(true))).code, 'control').toBe(1);
  });
});
