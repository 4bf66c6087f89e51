// What the engine's core itself takes for an exit notice, in instructions, by callgrind on core/driver.cc. It runs in a PID
// namespace: /proc has nobody else's processes there, whatever the machine does meanwhile.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn } from '../dist/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Why they cannot be counted here, or ''. */
export async function whyNoInstructions() {
  if (spawnSync('valgrind', ['--version']).error) return 'valgrind is not there';
  try {
    await (await spawn('true', [], { stdio: 'ignore', containment: 'namespace' })).gone;
    return '';
  } catch (error) {
    if (error.stage !== 'namespace') throw error;
    return error.message;
  }
}

/** Builds the driver with the core of the last build; its path. */
export function buildDriver(folder) {
  const driver = join(folder, 'driver');
  const archives = ['core', 'child'].map((name) => join(root, `build/Release/procgroup_${name}.a`));
  const flags = ['-std=c++20', '-D_GNU_SOURCE', '-fno-exceptions', '-fno-rtti', '-O2', `-I${join(root, 'native')}`];
  const source = join(root, 'bench/core/driver.cc');
  execFileSync(process.env.CXX ?? 'c++', [...flags, '-o', driver, source, ...archives], { stdio: 'inherit' });
  return driver;
}

/** Instructions of `count` groups, each from its registration to the notice that nobody is left; user space alone. */
export async function instructions(folder, driver, program, count) {
  const args = [
    '--tool=callgrind',
    `--callgrind-out-file=${join(folder, 'callgrind.%p')}`,
    driver,
    String(count),
    program,
  ];
  const child = await spawn('valgrind', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    containment: 'namespace',
    timeoutMs: 60_000,
  });
  let said = '';
  for await (const chunk of child.stderr) said += chunk;
  const { code } = await child.exited;
  const [, refs] = /I\s+refs:\s+([\d,]+)/.exec(said) ?? [];
  if (code !== 0 || !refs) throw new Error(`valgrind: ${said}`);
  return Number(refs.replaceAll(',', ''));
}
