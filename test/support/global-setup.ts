import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { MARK, newMark, preparePreloading, subjectEnv } from './environment.mjs';
import { alive, killMarked } from './oracle.js';
import { build, sources } from './paths.mjs';
import { useTemporaryFolder } from './remains.js';

const flags = ['-O1', '-g', '-Wall', '-Wextra', '-std=gnu11', '-pthread'];

/** Compiles native/*.c whose binary is missing or older than any source; x.so.c gives a shared object. Static where libc.a is there: exec is cheaper. */
export function compileTools(): void {
  mkdirSync(build, { recursive: true });
  const files = readdirSync(sources).filter((name) => /\.[ch]$/.test(name));
  const newest = Math.max(...files.map((name) => statSync(sources + name).mtimeMs));
  for (const name of files.filter((file) => file.endsWith('.c'))) {
    const target = build + name.slice(0, -2);
    if (existsSync(target) && statSync(target).mtimeMs >= newest) continue;
    const temporary = `${target}.${process.pid}`;
    const shared = name.endsWith('.so.c');
    const compile = (...more: string[]) =>
      execFileSync(process.env.CC ?? 'cc', [...flags, ...more, '-o', temporary, sources + name], { stdio: 'pipe' });
    if (shared) compile('-shared', '-fPIC');
    else {
      try {
        compile('-static');
      } catch {
        compile();
      }
    }
    renameSync(temporary, target);
  }
}

export default async function setup(): Promise<() => void> {
  compileTools();
  preparePreloading();
  const { id, env } = newMark();
  process.env[MARK] = env[MARK];
  // A sanitizer's runtime: the workers load the addon too. In them it is put aside again.
  const { LD_PRELOAD } = subjectEnv();
  if (LD_PRELOAD !== undefined) process.env.LD_PRELOAD = LD_PRELOAD;
  const removeFolder = await useTemporaryFolder();
  // Vitest's workers bear the mark itself; what they start bears one below it.
  return () => {
    const left = alive(`${id}.`);
    killMarked(`${id}.`);
    const folders = removeFolder();
    if (left.length === 0 && folders.length === 0) return;
    const names = left.map(({ pid, state, cmdline }) => `  ${pid} ${state} ${cmdline}`);
    // Vitest prints an error of a teardown, and exits 0 all the same.
    process.exitCode = 1;
    throw new Error(`left by this run:\n${[...names, ...folders.map((name) => `  ${name}`)].join('\n')}`);
  };
}
