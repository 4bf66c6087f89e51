// What it costs to have the package at all.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = (target) =>
  `const t = performance.now(); await import(${JSON.stringify(target)}); console.log(performance.now() - t);`;

export const load = {
  name: 'load',
  about: 'milliseconds that an import takes in a fresh Node, and KiB of the packed package',
  async run(context) {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-load-'));
    const empty = join(folder, 'empty.mjs');
    writeFileSync(empty, 'export {};\n');
    const time = (target) => async () =>
      Number(execFileSync(process.execPath, ['--input-type=module', '-e', program(target)], { encoding: 'utf8' }));
    const contenders = [
      { name: 'an empty module', measure: time(empty) },
      { name: 'procgroup', measure: time(join(root, 'dist/index.js')) },
      { name: 'node:child_process', measure: time('node:child_process') },
    ];
    await context.compare({
      title: 'import',
      unit: 'ms',
      better: 'lower',
      base: 'an empty module',
      rounds: 15,
      contenders,
    });
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
    const measure = async () => packed.unpackedSize / 1024;
    await context.compare({
      title: 'unpacked, as this checkout packs',
      unit: 'KiB',
      better: 'lower',
      rounds: 1,
      contenders: [{ name: 'procgroup', measure }],
    });
    rmSync(folder, { recursive: true });
  },
};
