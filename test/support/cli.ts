import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { scriptEnv } from './environment.mjs';
import { root } from './paths.mjs';

export const bin = `${root}bin/procgroup`;

export interface CliOptions {
  env?: NodeJS.ProcessEnv;
  input?: string;
  stdio?: StdioOptions;
  cwd?: string;
  /** What is started in place of bin/procgroup. */
  file?: string;
}

export interface CliRun {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export function startCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  const { env = process.env, stdio = ['pipe', 'pipe', 'pipe'], cwd = root, file = bin } = options;
  return spawn(file, args, { env: scriptEnv(env), stdio, cwd });
}

/** Runs bin/procgroup to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return finish(startCli(args, options), options.input);
}

export function finish(child: ChildProcess, input = ''): Promise<CliRun> {
  const run: CliRun = { code: null, signal: null, stdout: '', stderr: '' };
  child.stdin?.on('error', () => {}).end(input);
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    run.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text;
  });
  // A stream that a ready line was read from is paused.
  child.stdout?.resume();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ ...run, code, signal }));
  });
}
