// The preload: what it reaches, what it does to the environment of children, and where the drop-in refuses to work.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { absoluteNodeOptions, absolutePreload } from '../dist/child-process/preload-path.js';
import { nodes, versionOf } from './support/drop-in/compare.js';
import { install } from './support/installed.js';
import { dist, root } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const register = `file://${dist}register.js`;
const entry = JSON.stringify(`${dist}child-process.js`);
/** Says whose handle a child has. */
const whose = `const whose = (child) => { child.on('error', () => {}); return child._handle.constructor.name; };`;
const engine = 'EngineHandle';

describe.each(nodes)('the preload on %s', (node) => {
  const scenario = useScenario();
  let folder = '';
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'procgroup-preload-')));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'procgroup'));
  });

  /** Runs a file of the folder, and gives what it prints last, as JSON. */
  async function run(name: string, source: string, nodeArgs: string[] = [], env: NodeJS.ProcessEnv = {}) {
    writeFileSync(join(folder, name), source);
    const result = await runNode(join(folder, name), {
      node,
      nodeArgs,
      cwd: folder,
      env: { ...scenario.env, ...env },
    });
    expect(result.code, `${result.stdout}${result.stderr}`).toBe(0);
    return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '') as unknown;
  }
  const preload = ['--import', 'procgroup/register'];

  it(`reaches require() and every form of import${versionOf(node)}`, async () => {
    const cjs = `${whose}
      const cp = require('child_process');
      const { spawn } = require('node:child_process');
      console.log(JSON.stringify([whose(cp.spawn('true')), whose(spawn('true')), whose(cp.exec('true')), whose(cp.execFile('true')),
        whose(cp.fork(__filename + '.none', { silent: true })), whose(require('util').promisify(cp.exec)('true').child)]));`;
    expect(await run('a.cjs', cjs, preload)).toEqual(Array(6).fill(engine));
    expect(await run('b.cjs', cjs)).toEqual(Array(6).fill('Process'));
    const esm = `${whose}
      import cp, { spawn } from 'node:child_process';
      import * as all from 'child_process';
      console.log(JSON.stringify([whose(cp.spawn('true')), whose(spawn('true')), whose(all.execFile('true')), cp.spawn === spawn && all.spawn === spawn]));`;
    expect(await run('c.mjs', esm, preload)).toEqual([engine, engine, engine, true]);
  });

  it(`by --require${versionOf(node)}`, async () => {
    const source = `${whose} console.log(JSON.stringify([whose(require('child_process').spawn('true')), process.execArgv.slice(0, 2)]));`;
    expect(await run('a.cjs', source, ['--require', 'procgroup/register', '--no-warnings'])).toEqual([
      engine,
      ['--require', `${dist}register.js`],
    ]);
  });

  it(`reaches functions that were taken before, ChildProcess itself and cluster${versionOf(node)}`, async () => {
    const source = `${whose}
      import cluster from 'node:cluster';
      import cp from 'node:child_process';
      const { spawn, ChildProcess } = cp;
      await import('procgroup/register');
      const child = new ChildProcess();
      child.spawn({ file: 'true', args: ['true'], stdio: 'ignore' });
      cluster.setupPrimary({ exec: '/none', silent: true });
      console.log(JSON.stringify([whose(spawn('true')), whose(child), whose(cluster.fork().process)]));`;
    expect(await run('a.mjs', source)).toEqual([engine, engine, engine]);
  });

  it(`reaches workers${versionOf(node)}`, async () => {
    writeFileSync(
      join(folder, 'worker.cjs'),
      `${whose} require('worker_threads').parentPort.postMessage(whose(require('child_process').spawn('true')));`,
    );
    const source = `const { Worker } = require('worker_threads');
      new Worker('./worker.cjs').on('message', (message) => console.log(JSON.stringify(message)));`;
    expect(await run('a.cjs', source, preload)).toBe(engine);
  });

  it(`NODE_OPTIONS does not crash a child in another folder, and reaches it${versionOf(node)}`, async () => {
    const kid = `${whose} console.log(JSON.stringify([whose(require('child_process').spawn('true')), process.cwd()]))`;
    const source = `
      const cp = require('child_process');
      const args = ['-e', ${JSON.stringify(kid)}];
      const options = { cwd: '/', encoding: 'utf8' };
      const given = { ...options, env: { PATH: process.env.PATH, NODE_OPTIONS: '--no-warnings --import=procgroup/register' } };
      cp.execFile(process.execPath, args, options, (error, one) => {
        cp.execFile(process.execPath, args, given, (error, two) => {
          console.log(JSON.stringify([one, two, cp.spawnSync(process.execPath, args, options).stdout].map(JSON.parse)));
        });
      });`;
    expect(await run('a.cjs', source, [], { NODE_OPTIONS: '--import procgroup/register' })).toEqual(
      Array(3).fill([engine, '/']),
    );
  });

  it(`a fork into another folder finds the preload of the command line${versionOf(node)}`, async () => {
    writeFileSync(join(folder, 'kid.cjs'), `${whose} process.send(whose(require('child_process').spawn('true')));`);
    const source = `require('child_process').fork(__dirname + '/kid.cjs', { cwd: '/' }).on('message', (said) => console.log(JSON.stringify(said)));`;
    expect(await run('a.cjs', source, preload)).toBe(engine);
  });

  it(`a cluster worker gets what is sent before its module has run${versionOf(node)}`, async () => {
    const source = `
      const cluster = require('cluster');
      if (!cluster.isPrimary) return process.on('message', (message) => process.send(message));
      const worker = cluster.fork();
      worker.send('early');
      worker.on('message', (message) => {
        console.log(JSON.stringify([message, process.execArgv.length]));
        worker.kill();
      });`;
    expect(await run('a.cjs', source, preload)).toEqual(['early', 2]);
    expect(await run('a.cjs', source, [`--import=${register}`])).toEqual(['early', 1]);
    expect(await run('a.cjs', source, ['--require', 'procgroup/register'])).toEqual(['early', 2]);
  });

  it(`import and require() give one mutable module${versionOf(node)}`, async () => {
    const source = `
      import { createRequire } from 'node:module';
      import node from 'node:child_process';
      import ours, * as all from 'procgroup/child_process';
      const required = createRequire(import.meta.url)('procgroup/child_process');
      required.spawn = 1;
      console.log(JSON.stringify([required === ours, ours.spawn, typeof all.spawn, node.spawn === all.spawn,
        Object.keys(ours).join() === Object.keys(node).join(), ours.ChildProcess === node.ChildProcess, all.spawnSync === node.spawnSync]));`;
    expect(await run('a.mjs', source)).toEqual([true, 1, 'function', false, true, true, true]);
  });

  it(`without the preload node:child_process stays as it is${versionOf(node)}`, async () => {
    const source = `${whose}
      import node from 'node:child_process';
      const before = [...Object.values(node), node.ChildProcess.prototype.spawn];
      const { spawn } = await import('procgroup/child_process');
      const child = spawn('true');
      const after = [...Object.values(node), node.ChildProcess.prototype.spawn];
      console.log(JSON.stringify([whose(child), whose(node.spawn('true')), before.every((value, i) => value === after[i]), child instanceof node.ChildProcess]));`;
    expect(await run('a.mjs', source)).toEqual([engine, 'Process', true, true]);
  });

  it(`two copies of the package do not get in each other's way${versionOf(node)}`, async () => {
    const { folder: second } = install(scenario);
    const source = (order: string) => `
      import { once } from 'node:events';
      import node from 'node:child_process';
      const copies = {};
      const steps = { register: () => import('${register}'), second: async () => { copies.second = await import('${second}/dist/child-process.js'); },
        both: () => import('${second}/dist/register.js') };
      for (const step of ${order}) await steps[step]();
      const child = copies.second.spawn('sh', ['-c', 'exit 3'], { containment: 'tree' });
      const other = node.spawn('sh', ['-c', 'exit 4']);
      const ends = await Promise.all([once(child, 'close'), once(other, 'close')]);
      const { covers } = await child.stop();
      console.log(JSON.stringify([...ends, covers]));`;
    for (const order of [
      "['second']",
      "['register', 'second']",
      "['second', 'register']",
      "['second', 'register', 'both']",
    ]) {
      expect(await run('a.mjs', source(order)), order).toEqual([[3, null], [4, null], 'tree']);
    }
  });

  it(`the permission model${versionOf(node)}`, async () => {
    const source = `
      import node from 'node:child_process';
      import ours from 'procgroup/child_process';
      const told = (cp) => {
        try {
          cp.spawn('true').on('error', () => {});
          return 'started';
        } catch ({ code, permission, message, name }) {
          return { code, permission, message, name };
        }
      };
      const [a, b] = [told(node), told(ours)];
      const { spawn } = await import('procgroup');
      const pipes = await spawn('true').then(() => 'started', ({ name, code, stage, cause }) => [name, code, stage, cause?.permission]);
      const none = await spawn('true', { stdio: 'ignore' }).then(() => 'started', ({ code }) => code);
      console.log(JSON.stringify({ same: JSON.stringify(a) === JSON.stringify(b), a, b, pipes, none }));`;
    const old = (await run('v.cjs', 'console.log(process.versions.node.split(".")[0])')) === 20;
    const model = old ? ['--experimental-permission'] : ['--permission', '--allow-addons'];
    const flags = [...model, '--allow-fs-read=*', '--no-warnings'];
    const denied = await run('a.mjs', source, flags);
    expect(denied).toMatchObject({ same: true, a: { code: 'ERR_ACCESS_DENIED', permission: 'ChildProcess' } });
    const some = [...flags, '--allow-child-process', '--allow-worker'];
    const guarded =
      (await run('n.cjs', 'console.log(Number(process.allowedNodeEnvironmentFlags.has("--allow-net")))')) === 1;
    const allowed = await run('a.mjs', source, guarded ? [...some, '--allow-net'] : some);
    // Node 20 loads no addon under it.
    const b = old ? { code: 'ERR_ADDON_REFUSED' } : 'started';
    expect(allowed).toMatchObject({ a: 'started', b, ...(old ? {} : { pipes: 'started', none: 'started' }) });
    if (!guarded) return;
    // Some releases of Node 26 want --allow-net for any socket, a pipe's too.
    const unopened = (await run('a.mjs', source, some)) as Record<string, unknown>;
    expect(unopened).toMatchObject({ a: 'started', none: 'started' });
    if (unopened.pipes === 'started') return expect(unopened.b).toBe('started');
    expect(unopened.b).toMatchObject({ code: 'ERR_ACCESS_DENIED', permission: 'Net' });
    expect(unopened.pipes).toEqual(['SpawnError', 'ERR_ACCESS_DENIED', 'stdio', 'Net']);
  });

  it(`another runtime: a typed error of the call, not of the import${versionOf(node)}`, async () => {
    const source = (prepare: string) => `
      ${prepare}
      const cp = await import(${entry});
      await import('${register}');
      const told = ['spawn', 'exec', 'execFile', 'fork'].map((name) => {
        try {
          cp[name]('true');
          return 'started';
        } catch ({ name, code, message }) {
          return [name, code, message.includes('Bun 1')];
        }
      });
      console.log(JSON.stringify(told));`;
    const bun = "Object.defineProperty(process.versions, 'bun', { value: '1.0' });";
    expect(await run('a.mjs', source(bun))).toEqual(
      Array(4).fill(['ProcessGroupError', 'ERR_UNSUPPORTED_RUNTIME', true]),
    );
  });

  it.each([
    ['a handle without spawn()', 'ChildProcess.prototype.spawn = function () { this._handle.start(); };'],
    [
      'other arguments',
      'ChildProcess.prototype.spawn = function (o) { this._handle.spawn(o.file, o); const e = new Error(); e.code = "EINVAL"; throw e; };',
    ],
    ['no error', 'ChildProcess.prototype.spawn = function () {};'],
  ])(`another shape of ChildProcess is refused: %s${versionOf(node)}`, async (_, change) => {
    const source = `
      import { ChildProcess } from 'node:child_process';
      ${change}
      const { spawn } = await import(${entry});
      try {
        spawn('true');
      } catch ({ name, code }) {
        console.log(JSON.stringify([name, code]));
      }
      try { await import('${register}'); } catch ({ code }) { console.log(JSON.stringify(code)); }`;
    expect(await run('a.mjs', source)).toBe('ERR_UNSUPPORTED_RUNTIME');
  });
});

describe('the name of the preload in options', () => {
  const url = 'file:///p/register.js';
  it.each([
    ['--import procgroup/register', `--import ${url}`],
    ['--import=procgroup/register', `--import=${url}`],
    ['--import "procgroup/register"', `--import ${url}`],
    [
      '--max-old-space-size=100  --import procgroup/register --no-warnings',
      `--max-old-space-size=100  --import ${url} --no-warnings`,
    ],
    ['--require procgroup/register', '--require /p/register.js'],
    ['-r procgroup/register', '-r /p/register.js'],
    ['--import ./other.js', '--import ./other.js'],
    ['--import procgroup', '--import procgroup'],
    ['--title procgroup/register', '--title procgroup/register'],
    ['', ''],
  ])('%s', (before, after) => {
    expect(absoluteNodeOptions(before, url)).toBe(after);
  });

  it('a path that leads there from here', () => {
    const words = ['--import', './dist/register.js'];
    expect(absolutePreload(words, new URL('./dist/register.js', `file://${process.cwd()}/`).href)).toBe(true);
    expect(words[1]).toBe(`file://${process.cwd()}/dist/register.js`);
  });
});
