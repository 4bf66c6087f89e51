// The suite, or the named files of it, on each supported Node, and test/smoke.mjs on Bun and Deno. All of them come from npm's
// packages for the platform, since npm's `node` may silently run the Node that is already there.
// Usage: npm run test:matrix -- [--on 20,22,24,26,bun,deno] [--prebuilt] [--short] [test/name.test.ts ...]
// --prebuilt tests the binaries of a release in place of those that were built here.
// --short runs the files of scripts/short-runs.mjs that can differ by the version of Node.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { downloadsIn, npmPackage, withFolder } from './downloads.mjs';
import { ensureBuilt } from './ensure-built.mjs';
import { ensurePrebuilt } from './other-machine.mjs';
import { ADDON, GUARDIAN, prebuilds } from './prebuilds.mjs';
import { chooseFiles } from './short-runs.mjs';
import { root, runSuite, summarise } from './support.mjs';

const { arch } = process;
const runtimes = {
  ...Object.fromEntries(['20', '22', '24', '26'].map((major) => [major, [`node-linux-${arch}@${major}`, 'bin/node']])),
  bun: [`@oven/bun-linux-${arch === 'arm64' ? 'aarch64' : arch}`, 'bin/bun'],
  deno: [`@deno/linux-${arch}-glibc`, 'deno', 'run', '--allow-all'],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    on: { type: 'string', default: Object.keys(runtimes).join(',') },
    prebuilt: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
  },
});
const chosen = values.on.split(',');
const unknown = chosen.filter((name) => !Object.hasOwn(runtimes, name));
if (unknown.length > 0) throw new Error(`--on takes ${Object.keys(runtimes).join(', ')}, not ${unknown.join(', ')}`);
const files = chooseFiles('matrix', [...positionals, ...(values.short ? ['--short'] : [])]);

/** The environment in which scripts with `#!/usr/bin/env node`, npm's among them, run on that Node too. */
const environment = (node) => ({
  PATH: `${dirname(node)}${delimiter}${process.env.PATH}`,
  ...(values.prebuilt ? { PROCGROUP_TEST_ADDON: binary(ADDON.glibc), PROCGROUP_TEST_GUARDIAN: binary(GUARDIAN) } : {}),
});
const binary = (name) => join(prebuilds, `linux-${arch}`, name);

function onNode(major, node) {
  const { stdout } = spawnSync(node, ['-p', 'process.version'], { encoding: 'utf8' });
  const version = stdout?.trim();
  if (!version?.startsWith(`v${major}.`)) throw new Error(`${node} is ${version}, and not Node ${major}`);
  const found = spawnSync('sh', ['-c', 'node -p process.version'], {
    encoding: 'utf8',
    env: { ...process.env, ...environment(node) },
  });
  if (found.stdout?.trim() !== version) throw new Error(`PATH gives Node ${found.stdout}, and not ${version}`);
  return runSuite(`Node ${version}`, environment(node), [], files, node);
}

function smoke(name, file, args) {
  const version = spawnSync(file, ['--version'], { encoding: 'utf8' })
    .stdout?.split('\n', 1)[0]
    .replace(/^deno /, '');
  const label = `smoke test on ${name} ${version}`;
  console.log(`\n=== ${label}`);
  const { status, stdout, stderr } = spawnSync(file, [...args, 'test/smoke.mjs'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  process.stdout.write(`${stdout}${stderr}`);
  const ok = status === 0 && /^smoke ok \d+$/m.test(stdout);
  return { label, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

await ensureBuilt();
if (values.prebuilt) ensurePrebuilt(arch);
await withFolder('matrix', (folder) => {
  const downloads = downloadsIn(folder);
  const runs = chosen.map((name) => {
    const [spec, file, ...args] = runtimes[name];
    const path = join(npmPackage(downloads, spec), file);
    if (!existsSync(path)) throw new Error(`${spec} has no ${file}`);
    return /^\d/.test(name) ? onNode(name, path) : smoke(name, path, args);
  });
  process.exitCode = summarise(runs);
});
