// What the documentation says of codes, options, features and variables is what the code has, and the README's first example runs.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { finish, startCli } from './support/cli.js';
import { subjectEnv } from './support/environment.mjs';
import { root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const read = (name: string) => readFileSync(root + name, 'utf8');
const all = (text: string, pattern: RegExp) =>
  [...new Set([...text.matchAll(pattern)].map(([, one = '']) => one))].sort();
const sources = readdirSync(`${root}lib`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => read(`lib/${name}`))
  .join('\n');
const sh = read('bin/procgroup');
const native = ['addon', 'core', 'guardian']
  .flatMap((folder) => readdirSync(`${root}native/${folder}`).map((name) => read(`native/${folder}/${name}`)))
  .join('\n');

describe('docs: codes, options, variables', () => {
  it('docs: errors.md has every code of the library, and no other', () => {
    const workload = all(read('docs/errors.md'), /`(ERR_WORKLOAD_[A-Z_]+)`/g);
    const faults = workload.filter((code) => sources.includes(`'${code.replace('ERR_WORKLOAD_', '')}'`));
    expect(faults.length).toBeGreaterThan(5);
    const thrown = [
      ...all(sources, /['"`](ERR_[A-Z_]+)['"`]/g).filter((code) => !faults.includes(code)),
      ...faults,
    ].sort();
    expect(thrown.length).toBeGreaterThan(20);
    // Thrown by Node, and passed on with our stage: its name is nowhere in the code.
    const passedOn = ['ERR_ACCESS_DENIED'];
    expect(all(read('docs/errors.md'), /`(ERR_[A-Z_]+)`/g)).toEqual([...thrown, ...passedOn].sort());
  });

  it('docs: errors.md has every stage', () => {
    const [, list = ''] = /const STAGES = \[([^\]]*)\]/.exec(read('lib/native.ts')) ?? [];
    const stages = all(list, /'([\w-]+)'/g).filter((name) => name !== 'none');
    expect(stages.length).toBeGreaterThan(20);
    const said = read('docs/errors.md');
    expect(stages.filter((name) => !said.includes(`\`${name}\``))).toEqual([]);
  });

  it('docs: cli.md has every option of every command, and no other', async () => {
    const told = async (...words: string[]) => (await finish(startCli([...words, '--help'], {}))).stdout;
    const first = await told();
    const commands = all(first, /^ {2}([a-z]+) /gm);
    expect(commands).toEqual(expect.arrayContaining(['doctor', 'kill', 'run', 'tree']));
    const help = [first, ...(await Promise.all(commands.map((command) => told(command))))];
    const options = all(help.join('\n'), /(?:^|[\s,[])(--[a-z][\w-]*)/g);
    expect(options.length).toBeGreaterThan(8);
    expect(all(read('docs/cli.md'), /`(?:procgroup \w* ?)?(--(?!opt\b)[a-z][\w-]*)/g)).toEqual(options);
  });

  it('docs: compatibility.md has every kernel feature that is probed, with its version', async () => {
    const page = read('docs/compatibility.md');
    const { stdout } = await finish(startCli(['doctor', '--json'], {}));
    const { features } = JSON.parse(stdout) as { features: { name: string; since: string }[] };
    expect(features.length).toBeGreaterThan(5);
    for (const { name, since } of features) {
      expect(page, name).toMatch(new RegExp(`\\| \`${name.replace(/[()]/g, '\\$&')}\`[^|]*\\| ${since} \\|`));
    }
    for (const version of (JSON.parse(read('package.json')) as { engines: { node: string } }).engines.node.match(
      /\d+\.\d+/g,
    ) ?? []) {
      expect(page).toContain(version);
    }
  });

  it('docs: SECURITY.md has every variable that is read', () => {
    const names = new Set([
      ...all(sources, /process\.env\.([A-Z_]+)/g),
      ...all(sources, /\benv\.([A-Z][A-Z_]+)/g),
      ...all(sources + sh, /\b(PROCGROUP_[A-Z]+)\b/g),
      ...all(native, /getenv\("(\w+)"\)/g),
      ...all(native, /"(PROCGROUP_[A-Z]+)=/g),
    ]);
    for (const code of all(sources, /code: '(PROCGROUP_[A-Z]+)'/g)) names.delete(code);
    expect(names.size).toBeGreaterThan(5);
    const page = read('SECURITY.md');
    expect([...names].filter((name) => !page.includes(name))).toEqual([]);
  });
});

describe('docs: the first example of the README', () => {
  const scenario = useScenario();

  it('docs: runs as it stands, in a folder that has a dev script', async () => {
    const [, example = ''] = /```js\n([\s\S]*?)```/.exec(read('README.md')) ?? [];
    expect(example).toContain("from 'procgroup'");
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-example-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules/procgroup'));
    const dev = 'node -e "console.log(6 * 7); process.exitCode = 3"';
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, scripts: { dev } }));
    writeFileSync(join(folder, 'example.mjs'), example);
    const env = subjectEnv({ ...scenario.env, npm_config_update_notifier: 'false' });
    const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], {
      cwd: folder,
      env,
      timeout: 60_000,
    });
    expect(stdout).toMatch(/^42$/m);
    expect(stdout).toMatch(/^npm ended with 3$/m);
    expect(scenario.alive()).toEqual([]);
  });
});
