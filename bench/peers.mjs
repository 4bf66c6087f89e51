// Who takes part. Foreign peers are fetched from npm, into a temporary folder, only when they are asked for.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Actor } from './method.mjs';

const arch = process.arch;
const PACKAGES = {
  bun: arch === 'x64' ? ['@oven/bun-linux-x64@1.4.4'] : ['@oven/bun-linux-aarch64@1.4.4'],
  deno: [`@deno/linux-${arch}-glibc`],
  node: [`node-linux-${arch}@26`],
  others: ['execa@9.6.1', 'tree-kill@1.2.2'],
};

function install(folder, packages) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  const words = [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefix',
    folder,
    ...packages,
  ];
  execFileSync('npm', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  return join(folder, 'node_modules');
}

/** { name: () => Actor }; what could not be fetched is in `missing`, with the reason. */
export function fetchPeers(say) {
  const root = mkdtempSync(join(tmpdir(), 'procgroup-peers-'));
  const peers = {};
  const missing = {};
  const attempt = (name, make) => {
    say(`fetching ${name}`);
    try {
      Object.assign(peers, make());
    } catch (error) {
      missing[name] = String(error.stderr ?? error.message)
        .trim()
        .split('\n')[0];
    }
  };
  const executable = (path) => {
    if (!existsSync(path)) throw new Error(`${path} is not there`);
    return path;
  };
  attempt('bun', () => {
    const bun = executable(join(install(join(root, 'bun'), PACKAGES.bun), PACKAGES.bun[0].split('@1')[0], 'bin/bun'));
    return { 'Bun.spawn': () => new Actor('bun', { runtime: [bun] }) };
  });
  attempt('deno', () => {
    const deno = executable(join(install(join(root, 'deno'), PACKAGES.deno), PACKAGES.deno[0], 'deno'));
    return { 'Deno.Command': () => new Actor('deno', { runtime: [deno, 'run', '-A'] }) };
  });
  attempt('node', () => {
    const node = executable(join(install(join(root, 'node'), PACKAGES.node), `node-linux-${arch}`, 'bin/node'));
    return { 'child_process, Node 26': () => new Actor('child-process', { runtime: [node] }) };
  });
  attempt('execa and tree-kill', () => {
    const modules = install(join(root, 'others'), PACKAGES.others);
    const env = {
      BENCH_EXECA: pathToFileURL(join(modules, 'execa/index.js')).href,
      BENCH_TREE_KILL: pathToFileURL(join(modules, 'tree-kill/index.js')).href,
    };
    return {
      execa: () => new Actor('execa', { env }),
      'tree-kill': () => new Actor('tree-kill', { env }),
    };
  });
  return { folder: root, peers, missing };
}

export const ours = (containment = 'group') => new Actor('procgroup', { options: { containment } });
export const childProcess = () => new Actor('child-process');
