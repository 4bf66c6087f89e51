// Biome over the scripts and TypeScript, clang-format over all C and C++, clang-tidy over native/.
// --write formats instead of checking, and leaves clang-tidy out. clang-format and clang-tidy 19 are not npm packages.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { headersPrefix, programs, root, run } from './support.mjs';

const write = process.argv.includes('--write');

function tool(name) {
  const found = [`${name}-19`, name].find((file) => {
    const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
    return /version 19\./.test(stdout ?? '');
  });
  if (!found) console.error(`${name} 19 is missing (Debian package ${name}-19)`);
  return found;
}

function sources(directories, pattern) {
  return directories
    .map((name) => join(root, name))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

function biome() {
  return run(process.execPath, [programs.biome, 'check', ...(write ? ['--write'] : ['--error-on-warnings']), '.']);
}

function clangFormat() {
  const files = sources(['native', 'test', 'bench'], /\.(c|cc|h)$/);
  const format = tool('clang-format');
  if (files.length === 0) return 0;
  return format ? run(format, [...(write ? ['-i'] : ['--dry-run', '-Werror']), ...files]) : 1;
}

/** As many at once as there are cores; each one's output stays together. */
async function clangTidy() {
  const tidy = tool('clang-tidy');
  if (!tidy) return 1;
  const prefix = process.env.npm_config_nodedir ?? headersPrefix();
  if (!prefix) {
    console.error('clang-tidy: this Node has no headers beside it; name their prefix with npm_config_nodedir');
    return 1;
  }
  const flags = [
    ...['-x', 'c++', '-std=gnu++20', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics', '-Wall', '-Wextra'],
    ...[
      '-DPROCGROUP_BUILD=1',
      '-DPROCGROUP_GUARDIAN_FILE="/dev/null"',
      '-DNAPI_VERSION=9',
      '-DNODE_ADDON_API_DISABLE_DEPRECATED',
      '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
    ],
    ...['-Inative', '-isystem', join(prefix, 'include/node'), '-isystem', 'node_modules/node-addon-api'],
  ];
  const queue = sources(['native'], /\.cc$/);
  let status = 0;
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const child = spawn(tidy, ['--quiet', file, '--', ...flags], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
      const output = [];
      child.stdout.on('data', (data) => output.push(data));
      child.stderr.on('data', (data) => output.push(data));
      const [code] = await once(child, 'close');
      if (code === 0) continue;
      status = 1;
      process.stderr.write(Buffer.concat(output));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return status;
}

const checks = { biome, 'clang-format': clangFormat, ...(write ? {} : { 'clang-tidy': clangTidy }) };
for (const [name, check] of Object.entries(checks)) {
  const status = await check();
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}`);
  if (status !== 0) process.exitCode = 1;
}
