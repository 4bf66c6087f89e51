import { type ChildProcess, spawn } from 'node:child_process';
import { preloading, subjectEnv } from './environment.mjs';
import * as paths from './paths.mjs';

export interface RunNodeOptions {
  args?: readonly string[];
  /** Added to the environment of this process. */
  env?: NodeJS.ProcessEnv;
  /** A subject that takes longer is killed, and the run rejects with what it printed (default 120,000). */
  timeoutMs?: number;
  /** Written to stdin, which is then closed; without it stdin is /dev/null. */
  input?: string;
  nodeArgs?: readonly string[];
  /** The Node to run (default: the one that runs this). */
  node?: string;
  /** Put before node: a program and its arguments, such as deny's. */
  via?: readonly string[];
  cwd?: string;
  /** A source without the prelude: nothing is loaded that it does not load itself. */
  bare?: boolean;
}

export interface NodeRun {
  pid: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  ms: number;
}

/** What a subject given as source finds in scope, next to every export of the package. */
const prelude = `
import * as environment from ${quote('test/support/environment.mjs')};
import * as paths from ${quote('test/support/paths.mjs')};
import * as oracle from ${quote('test/support/oracle.mjs')};
import { readReady } from ${quote('test/support/ready.mjs')};
import * as procgroup from ${quote('dist/index.js')};
import nodeProcess from 'node:child_process';
import nodeFs from 'node:fs';
const { spawn, output, attach, ProcessGroup, ProcessGroupError, SpawnError, AbortError } = procgroup;
const { member, deny, tracer } = paths;
`;

function quote(path: string): string {
  return JSON.stringify(paths.root + path);
}

/** Starts a subject: a file, or an ES module's source with the prelude's names in scope. Its stdio are pipes. */
export function startNode(subject: string | { source: string }, options: RunNodeOptions = {}): ChildProcess {
  const { args = [], env = {}, nodeArgs = [], node = process.execPath, via = [], cwd = paths.root } = options;
  const what =
    typeof subject === 'string'
      ? [subject, ...args]
      : ['--input-type=module', '-e', options.bare ? subject.source : prelude + subject.source, '--', ...args];
  const inherited = { ...process.env, ...env };
  const direct = via.length === 0;
  const prefix = direct ? [] : [...via, ...preloading(inherited)];
  const [file = '', ...rest] = [...prefix, node, ...nodeArgs, ...what];
  return spawn(file, rest, {
    cwd,
    env: direct ? subjectEnv(inherited) : inherited,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
}

/** Runs a subject to its end in a Node of its own. */
export function runNode(subject: string | { source: string }, options: RunNodeOptions = {}): Promise<NodeRun> {
  const { timeoutMs = 120_000, input } = options;
  const begin = performance.now();
  const child = startNode(subject, options);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin?.on('error', () => {}).end(input);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout?.destroy();
      child.stderr?.destroy();
      reject(new Error(`the subject hung for ${timeoutMs} ms\nstdout: ${stdout}\nstderr: ${stderr}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ pid: child.pid ?? 0, code, signal, stdout, stderr, ms: performance.now() - begin });
    });
  });
}

/** As runNode, for a subject that prints one JSON value and exits 0; anything else is an error that quotes its output. */
export async function runNodeJson<T>(subject: string | { source: string }, options: RunNodeOptions = {}): Promise<T> {
  const run = await runNode(subject, options);
  if (run.code !== 0) {
    throw new Error(`the subject ended with ${run.code ?? run.signal}\nstdout: ${run.stdout}\nstderr: ${run.stderr}`);
  }
  return JSON.parse(run.stdout) as T;
}
