// Installs the packed tarball from a registry on loopback with each package manager, on a PATH that holds node, npm, sh and
// env alone, and uses it in every way that a program may. Needs npm run prebuild:all before; the other package managers are
// fetched from npm's registry. Usage: npm run test:package [-- --only npm]
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './ensure-built.mjs';
import { serve } from './package-test/registry.mjs';
import { root } from './support.mjs';

const { values } = parseArgs({ options: { only: { type: 'string' } } });

/** What an installation prints where a script was blocked, something compiled, or a dependency is not as it should be. */
const NOISE =
  /gyp|warn(ing)?.*(script|procgroup|deprecated|engine)|ignored build|build scripts|YN0004|YN0005|YN0007|error/i;

// Each with the way to run it as one program, and what it needs in the folder.
const MANAGERS = {
  npm: { args: ['install', 'procgroup', '--no-audit', '--no-fund'] },
  npm12: {
    package: 'npm@12',
    file: 'npm/bin/npm-cli.js',
    args: ['install', 'procgroup', '--no-audit', '--no-fund'],
    node: 22,
  },
  pnpm: { package: 'pnpm@10', file: 'pnpm/bin/pnpm.cjs', args: ['add', 'procgroup'] },
  yarn1: { package: 'yarn@1', file: 'yarn/bin/yarn.js', args: ['add', 'procgroup', '--non-interactive'] },
  yarn4: {
    package: '@yarnpkg/cli-dist@4',
    file: '@yarnpkg/cli-dist/bin/yarn.js',
    args: ['add', 'procgroup'],
    yarn: 'node-modules',
  },
  'yarn4 PnP': {
    package: '@yarnpkg/cli-dist@4',
    file: '@yarnpkg/cli-dist/bin/yarn.js',
    args: ['add', 'procgroup'],
    yarn: 'pnp',
  },
};

const scratch = mkdtempSync(join(tmpdir(), 'procgroup-package-'));
const results = [];

function run(file, args, { cwd, env, input }) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, env, stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe'], timeout: 120_000 });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
    }
    child.on('error', (error) => resolve({ code: 127, text: error.message }));
    child.on('close', (code, signal) => resolve({ code: code ?? signal, text }));
  });
}

function record(name, problem) {
  results.push({ name, problem });
  console.log(`${problem ? 'failed' : 'passed'}  ${name}${problem ? `\n${problem}` : ''}`);
}

/** A folder with links to these programs alone, so that no compiler can be found. */
function path(node) {
  const bin = mkdtempSync(join(scratch, 'bin-'));
  const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  const programs = { node, npm, sh: '/bin/sh', env: '/usr/bin/env' };
  for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(bin, name));
  return bin;
}

/** Fetches packages into a folder of their own; undefined without network. */
async function fetched(name) {
  const folder = mkdtempSync(join(scratch, 'tool-'));
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder, name];
  const { code, text } = await run('npm', args, { cwd: folder, env: process.env });
  if (code !== 0) throw new Error(text);
  return join(folder, 'node_modules');
}

const EXAMPLE = `
  const group = await procgroup.spawn('sh', ['-c', 'node -e "setTimeout(() => {}, 60_000)" & echo ready; wait'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => group.stdout.once('data', resolve));
  const report = await group.stop();
  if (!report.empty) throw new Error('survivors');
  console.log('example ok');`;

/** Programs, by the name of their file. */
const SUBJECTS = {
  'esm.mjs': `import * as procgroup from 'procgroup';${EXAMPLE}`,
  'commonjs.cjs': `const procgroup = require('procgroup'); (async () => {${EXAMPLE}})();`,
  'worker.mjs': `
    import { isMainThread, Worker } from 'node:worker_threads';
    import * as procgroup from 'procgroup';
    if (isMainThread) new Worker(new URL(import.meta.url)).on('exit', (code) => { process.exitCode = code; });
    else {${EXAMPLE}}`,
  'exports.mjs': `
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    const { exports } = require('procgroup/package.json');
    for (const name of Object.keys(exports)) {
      if (!name.endsWith('.json')) await import('procgroup' + name.slice(1));
      require('procgroup' + name.slice(1));
    }
    console.log('example ok');`,
  ...Object.fromEntries(
    [
      ['darwin', 'arm64'],
      ['win32', 'x64'],
      ['linux', 'riscv64'],
    ].map(([platform, arch]) => [
      `${platform}-${arch}.mjs`,
      `Object.defineProperty(process, 'platform', { value: '${platform}' });
       Object.defineProperty(process, 'arch', { value: '${arch}' });
       const procgroup = await import('procgroup');
       const drop = await import('procgroup/child_process');
       const { name, code, message } = await procgroup.spawn('true').catch((error) => error);
       if (code !== 'ERR_UNSUPPORTED_PLATFORM' || !message.includes('${platform} ${arch}')) throw new Error(name + code);
       console.log('example ok');`,
    ]),
  ),
};

async function install(name, manager, registry) {
  const folder = mkdtempSync(join(scratch, 'project-'));
  let node = process.execPath;
  if (manager.node && Number(process.versions.node.split('.')[0]) < manager.node) {
    node = join(await fetched(`node-linux-${process.arch}@${manager.node}`), `node-linux-${process.arch}/bin/node`);
  }
  const bin = path(node);
  const home = join(folder, '.home');
  mkdirSync(home);
  const env = {
    PATH: bin,
    HOME: home,
    npm_config_registry: registry.url,
    npm_config_update_notifier: 'false',
    YARN_REGISTRY: registry.url,
    YARN_NPM_REGISTRY_SERVER: registry.url,
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
    YARN_NPM_MINIMAL_AGE_GATE: '0',
    ...(manager.yarn ? { YARN_NODE_LINKER: manager.yarn } : {}),
  };
  writeFileSync(join(folder, 'package.json'), '{"name":"project","version":"1.0.0","private":true}\n');
  const tool = manager.package ? [join(await fetched(manager.package), manager.file)] : [];
  const [file, ...rest] = [...(tool.length > 0 ? [node, ...tool] : [join(bin, 'npm')]), ...manager.args];
  const { code, text } = await run(file, rest, { cwd: folder, env });
  const noise = text.split('\n').filter((line) => NOISE.test(line));
  record(`${name}: installs silently`, code === 0 && noise.length === 0 ? '' : `${code}: ${text}`);
  const loader =
    manager.yarn === 'pnp'
      ? ['--require', './.pnp.cjs', '--experimental-loader', './.pnp.loader.mjs', '--no-warnings']
      : [];
  for (const [subject, source] of Object.entries(SUBJECTS)) {
    writeFileSync(join(folder, subject), source);
    const ran = await run(node, [...loader, subject], { cwd: folder, env });
    record(`${name}: ${subject}`, ran.code === 0 && ran.text === 'example ok\n' ? '' : `${ran.code}: ${ran.text}`);
  }
  return { folder, env, node };
}

/** Ways to use an installation that do not depend on who installed it. */
async function uses({ folder, env, node }) {
  const check = async (name, args, cwd = folder) => {
    const ran = await run(node, args, { cwd, env });
    record(name, ran.code === 0 && ran.text === 'example ok\n' ? '' : `${ran.code}: ${ran.text}`);
  };
  const { build } = await import('esbuild');
  const bundle = async (format, extension) => {
    const app = mkdtempSync(join(scratch, 'bundle-'));
    const outfile = join(app, `app.${extension}`);
    await build({
      stdin: {
        contents: `import * as procgroup from 'procgroup'; async function main() {${EXAMPLE}} main();`,
        resolveDir: folder,
      },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      external: ['*.node'],
      logLevel: 'silent',
    });
    cpSync(join(folder, 'node_modules/procgroup/prebuilds'), join(app, 'prebuilds'), { recursive: true });
    // The copy that the addon carries stands in for a guardian without its exec bit.
    chmodSync(join(app, `prebuilds/linux-${process.arch}/procgroup-guardian`), 0o644);
    await check(`bundle: ${format}, prebuilds/ beside it`, [outfile], app);
  };
  await bundle('esm', 'mjs');
  await bundle('cjs', 'cjs');
  execFileSync('chmod', ['-R', 'a-w', join(folder, 'node_modules')]);
  await check('a read-only folder', ['esm.mjs']);
  execFileSync('chmod', ['-R', 'u+w', join(folder, 'node_modules')]);
}

async function main() {
  await ensureBuilt();
  const [packed] = Object.values(
    JSON.parse(
      execFileSync('npm', ['pack', '--json', '--pack-destination', scratch], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      }).replace(/^[^[{]*/, ''),
    ),
  );
  console.log(
    `${packed.filename}: ${packed.size} bytes packed, ${packed.unpackedSize} unpacked, ${packed.files.length} files`,
  );
  record('at most 2 MB installed', packed.unpackedSize <= 2_000_000 ? '' : `${packed.unpackedSize}`);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const registry = await serve(join(scratch, packed.filename), manifest);
  try {
    for (const [name, manager] of Object.entries(MANAGERS)) {
      if (values.only && values.only !== name) continue;
      try {
        const installed = await install(name, manager, registry);
        if (name === 'npm') await uses(installed);
      } catch (error) {
        record(`${name}: is there`, error.stack);
      }
    }
    const foreign = registry.asked.filter((url) => !url.startsWith('/procgroup'));
    record('nothing else is asked of the registry', foreign.join('\n'));
  } finally {
    registry.close();
  }
}

try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const failed = results.filter(({ problem }) => problem).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
