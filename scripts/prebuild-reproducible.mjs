// Builds the released binaries twice more, in two folders of different names, each from a copy of the sources and with
// nothing remembered of what was compiled before, and compares. zig's own libraries are taken from its cache.
// Usage: node scripts/prebuild-reproducible.mjs [ARCH ...]
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ARCHES, NAMES } from './prebuilds.mjs';
import { root, run } from './support.mjs';
import { zigPath } from './zig.mjs';

const SOURCES = ['native', 'scripts', 'binding.gyp', 'package.json'];

const arches = process.argv.length > 2 ? process.argv.slice(2) : ARCHES;
zigPath();
const scratch = mkdtempSync(join(tmpdir(), 'procgroup-reproducible-'));
let different = 0;
try {
  const copies = ['a', 'another/and-deeper'].map((name) => join(scratch, name));
  for (const copy of copies) {
    for (const source of SOURCES) {
      mkdirSync(dirname(join(copy, source)), { recursive: true });
      cpSync(join(root, source), join(copy, source), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    const env = {
      ...process.env,
      PROCGROUP_TOOLCHAIN: process.env.PROCGROUP_TOOLCHAIN ?? join(root, '.toolchain'),
      PROCGROUP_OBJECTS: join(copy, 'objects'),
    };
    if (run(process.execPath, ['scripts/prebuild.mjs', ...arches], { cwd: copy, env }) !== 0)
      throw new Error('no build');
  }
  for (const arch of arches) {
    for (const name of NAMES) {
      const [one, other] = copies.map((copy) => readFileSync(join(copy, 'prebuilds', `linux-${arch}`, name)));
      const same = one.equals(other);
      if (!same) different++;
      console.log(`linux-${arch}/${name}: ${same ? 'the same' : 'different'}`);
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`${arches.length * NAMES.length - different} the same, ${different} different`);
process.exitCode = different === 0 ? 0 : 1;
