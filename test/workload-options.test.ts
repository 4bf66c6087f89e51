// How a workload's Node is started: program, options, environment; loaders are inherited, a debugger is not. Bad input.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ProcessGroupError, SpawnError } from '../dist/index.js';
import { runWorkload, WorkloadError, WorkloadPool } from '../dist/workload.js';
import { childrenOf } from './support/oracle.js';
import { dist, member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { type Footprint, footprint, useScenario } from './support/scenario.js';
import { rejection, work, workloads } from './support/workloads.js';

const scenario = useScenario();
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'procgroup-workload-'));
  scenario.defer(() => rmSync(folder, { recursive: true }));
});

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

interface Self {
  pid: number;
  execPath: string;
  execArgv: string[];
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  inspector: string | null;
  loaded: string[];
  stdin: string;
}

describe('the process', () => {
  it('is a fresh Node each time, with stdin at its end and nothing in argv', async () => {
    const [one, two] = (await Promise.all([work(scenario, 'self'), work(scenario, 'self')])) as [Self, Self];
    expect(one.pid).not.toBe(two.pid);
    expect(one.execPath).toBe(process.execPath);
    expect(one.argv).toHaveLength(2);
    expect(one.stdin).toBe('');
    expect(one.cwd).toBe(process.cwd());
  });

  it('execPath, execArgv, env, cwd', async () => {
    const node = join(folder, 'other-node');
    symlinkSync(process.execPath, node);
    const seen: Self = await work(scenario, 'self', null, {
      execPath: node,
      execArgv: ['--no-warnings', '--max-old-space-size=123'],
      env: { ...scenario.env, ONLY: 'this' },
      cwd: folder,
    });
    expect(seen.execArgv).toEqual(['--no-warnings', '--max-old-space-size=123']);
    expect(seen.env.ONLY).toBe('this');
    expect(seen.cwd).toBe(folder);
    const bare: Self = await work(scenario, 'self', null, { env: { PROCGROUP_TEST_MARK: scenario.id } });
    expect(Object.keys(bare.env).sort()).toEqual(['PROCGROUP_TEST_MARK', 'PROCGROUP_TREE']);
  });

  it("spawn()'s own options: nice, umask, rlimits, teardown, containment", async () => {
    const run = runWorkload(`data:text/javascript,export default () => process.umask()`, null, {
      env: scenario.env,
      umask: 0o077,
      nice: 3,
      rlimits: { core: 0 },
      containment: 'group',
    });
    expect(await run).toBe(0o077);
    expect((await run.ended).report).toMatchObject({ covers: 'group', empty: true });
    const byDefault = work(scenario, 'default', 1);
    await byDefault;
    expect((await byDefault.ended).report).toMatchObject({ covers: 'tree', evidence: 'echild' });
  });
});

describe('what is inherited', () => {
  /** What a workload sees whose caller was started with these options. */
  function seenFrom(nodeArgs: string[], env: NodeJS.ProcessEnv = {}, options = '{}'): Promise<Self> {
    const source = `
      const { runWorkload } = await import(paths.dist + 'workload.js');
      const seen = await runWorkload(${JSON.stringify(workloads.href)}, null, { exportName: 'self', ...${options} });
      console.log(JSON.stringify(seen));`;
    return runNodeJson<Self>({ source }, { nodeArgs, env: { ...scenario.env, ...env } });
  }
  const preload = (name: string) => file(name, `(globalThis.loaded ??= []).push('${name}');`);

  it('a debugger is not: --inspect in its forms', async () => {
    for (const word of ['--inspect=127.0.0.1:0', '--inspect-port=0']) {
      const { inspector, execArgv } = await seenFrom([word, '--no-warnings']);
      expect([inspector, execArgv]).toEqual([null, ['--no-warnings']]);
    }
    const { execArgv } = await seenFrom(['--inspect-port', '0', '--no-warnings']);
    expect(execArgv).toEqual(['--no-warnings']);
    const asked = await seenFrom([], {}, "{ execArgv: ['--inspect=127.0.0.1:0'] }");
    expect(asked.inspector, 'control: it would be seen').toMatch(/^ws:/);
  });

  it('a debugger in NODE_OPTIONS is not either, the rest is', async () => {
    const quoted = preload('with space.cjs');
    const all = `--inspect=127.0.0.1:0 --no-warnings --require "${quoted}" --inspect-port 0`;
    const { inspector, env, loaded } = await seenFrom([], { NODE_OPTIONS: all });
    expect(inspector).toBeNull();
    expect(env.NODE_OPTIONS).toBe(`--no-warnings --require "${quoted}"`);
    expect(loaded).toEqual(['with space.cjs']);
    const spread = await seenFrom([], { NODE_OPTIONS: all }, '{ env: { ...process.env, A: "b" } }');
    expect([spread.inspector, spread.env.A]).toEqual([null, 'b']);
    const given = await seenFrom([], {}, '{ env: { ...process.env, NODE_OPTIONS: "--inspect=127.0.0.1:0" } }');
    expect(given.inspector, 'control: given on purpose').toMatch(/^ws:/);
  });

  it('loaders are: --require, --import, --loader', async () => {
    const hooks = file(
      'hooks.mjs',
      `export async function load(url, context, next) {
      if (!url.endsWith('.made-up')) return next(url, context);
      return { format: 'module', source: 'export default (n) => n + 1;', shortCircuit: true };
    }`,
    );
    const module = file('made.made-up', '');
    const words = [
      '--require',
      preload('required.cjs'),
      '--import',
      preload('imported.mjs'),
      `--experimental-loader=${hooks}`,
    ];
    const seen = await seenFrom([...words, '--no-warnings']);
    expect(seen.loaded).toEqual(['required.cjs', 'imported.mjs']);
    expect(seen.execArgv).toEqual([...words, '--no-warnings']);
    const source = `
      const { runWorkload } = await import(paths.dist + 'workload.js');
      console.log(JSON.stringify(await runWorkload(${JSON.stringify(module)}, 1)));`;
    const nodeArgs = ['--no-warnings', `--experimental-loader=${hooks}`];
    expect(await runNodeJson<number>({ source }, { nodeArgs, env: scenario.env })).toBe(2);
  });

  it('the script of the caller is not: -e, --input-type, --test, --watch', async () => {
    const { execArgv } = await seenFrom(['--stack-trace-limit=7']);
    expect(execArgv, 'runNode itself starts its subject by -e').toEqual(['--stack-trace-limit=7']);
  });

  it('from a worker_thread', async () => {
    const thread = `
      import { parentPort } from 'node:worker_threads';
      import { runWorkload } from 'file://${dist}workload.js';
      parentPort.postMessage(await runWorkload('${workloads.href}', null, { exportName: 'self' }));`;
    const source = `
      import { Worker } from 'node:worker_threads';
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(thread)}));
      const worker = new Worker(url, { env: { ...process.env, OF: 'thread' } });
      const seen = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      console.log(JSON.stringify(seen));`;
    const seen = await runNodeJson<Self>({ source }, { env: scenario.env, nodeArgs: ['--no-warnings'] });
    expect([seen.env.OF, seen.execArgv]).toEqual(['thread', ['--no-warnings']]);
  });
});

describe('T8 bad input: a typed error, and nothing is left', () => {
  const [type, value, range] = ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE', 'ERR_OUT_OF_RANGE'];
  // biome-ignore lint/suspicious/noExplicitAny: what plain JavaScript hands over
  type Any = any;
  let before: { process: Footprint; children: number[] };
  const look = () => ({ process: footprint(), children: childrenOf() });
  beforeEach(async () => {
    await work(scenario, 'default', 1);
    before = look();
  });

  const calls: [string, () => Any, string | undefined][] = [
    ['no module', () => runWorkload(undefined as Any, 1), type],
    ['a number as module', () => runWorkload(7 as Any, 1), type],
    ['an empty module', () => runWorkload('', 1), value],
    ['a bare name as module', () => runWorkload('lodash', 1), value],
    ['NUL in the module', () => runWorkload('./a\0b', 1), value],
    ['options null', () => runWorkload(workloads, 1, null as Any), type],
    ['options a string', () => runWorkload(workloads, 1, 'x' as Any), type],
    ...(
      [
        ['exportName', 7, type],
        ['execPath', 7, type],
        ['execPath', 'a\0b', value],
        ['execArgv', '--x', type],
        ['execArgv', [1], type],
        ['env', 'A=B', type],
        ['env', { A: 'b\0' }, value],
        ['cwd', 7, type],
        ['startMs', 'soon', type],
        ['startMs', -1, range],
        ['timeoutMs', Number.NaN, range],
        ['abortGraceMs', '1', type],
        ['maxMessageBytes', 0, range],
        ['maxMessageBytes', 1.5, range],
        ['maxMessageBytes', 2 ** 32, range],
        ['tailChars', -1, range],
        ['stdout', 'pipe', value],
        ['stderr', 7, type],
        ['settle', 'soon', value],
        ['signal', {}, type],
        ['containment', 'pod', value],
        ['teardown', 'SIGTERM', type],
        ['umask', '077', type],
      ] as [string, unknown, string | undefined][]
    ).map(([name, wrong, code]): [string, () => Any, string | undefined] => [
      `${name} ${JSON.stringify(wrong)}`,
      () => runWorkload(workloads, 1, { [name]: wrong } as Any),
      code,
    ]),
  ];
  it.each(calls)('T8: %s', async (_, call, code) => {
    const run = call();
    const error = await rejection(run);
    expect(error).toBeInstanceOf(code === undefined ? Error : ProcessGroupError);
    expect(error).not.toBeInstanceOf(WorkloadError);
    if (code !== undefined) expect(error.code).toBe(code);
    expect(await run.ended).toEqual({ exit: null, report: null, stdout: '', stderr: '' });
    expect(look()).toEqual(before);
  });

  it.each([
    ['a program that is not there', { execPath: '/no/such/node' }, 'ENOENT'],
    ['a directory', { execPath: '/' }, 'EACCES'],
    ['a cwd that is not there', { cwd: '/no/such/folder' }, 'ENOENT'],
  ])('T8: %s: a SpawnError', async (_, options, code) => {
    const run = work(scenario, 'default', 1, options);
    const error = await rejection(run);
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.code).toBe(code);
    expect((await run.ended).exit).toBeNull();
    expect(look()).toEqual(before);
  });

  it('T8: a program that is no Node', async () => {
    const error = await rejection(work(scenario, 'default', 1, { execPath: member, execArgv: ['exit', '4'] }));
    expect(error).toBeInstanceOf(WorkloadError);
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_EXITED', exit: { code: 4 } });
  });

  it.each([
    ['size -1', { size: -1 }, range],
    ['size "2"', { size: '2' }, type],
    ['preload a string', { preload: './a.mjs' }, type],
    ['preload a bare name', { preload: ['lodash'] }, value],
    ['startMs -1', { startMs: -1 }, range],
    ['null', null, type],
  ])('T8: a pool with %s', (_, options, code) => {
    expect(() => new WorkloadPool(options as Any)).toThrow(expect.objectContaining({ code }));
    expect(look()).toEqual(before);
  });
});
