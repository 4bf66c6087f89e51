// The compiler of the released binaries: zig, which brings clang, lld and the libraries of every target, so that the result
// does not depend on the machine. Installed below .toolchain/ at first use, as scripts/toolchain/package-lock.json pins it.
// PROCGROUP_ZIG names another executable of the same version, PROCGROUP_TOOLCHAIN another folder.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './support.mjs';

export const ZIG_VERSION = '0.16.0';

const folder = process.env.PROCGROUP_TOOLCHAIN ?? join(root, '.toolchain');
const installed = join(folder, `node_modules/@zigc/linux-${process.arch}/bin/zig`);

/** zig keeps what it compiled: libc and libc++ in one folder, our own objects in another. */
export const zigEnvironment = () => ({
  ...process.env,
  ZIG_GLOBAL_CACHE_DIR: join(folder, 'cache'),
  ZIG_LOCAL_CACHE_DIR: process.env.PROCGROUP_OBJECTS ?? join(folder, 'objects'),
});

/** Path of zig, installed first where it is missing. `install: false`: undefined instead. */
export function zigPath({ install = true } = {}) {
  const zig = process.env.PROCGROUP_ZIG ?? installed;
  if (!existsSync(zig)) {
    if (!install) return undefined;
    mkdirSync(folder, { recursive: true });
    for (const name of ['package.json', 'package-lock.json']) {
      copyFileSync(join(root, 'scripts/toolchain', name), join(folder, name));
    }
    console.error('procgroup: installing the compiler of the released binaries (400 MB)');
    const arguments_ = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder];
    if (run('npm', arguments_) !== 0) throw new Error('zig could not be installed');
  }
  const version = execFileSync(zig, ['version'], { encoding: 'utf8' }).trim();
  if (version !== ZIG_VERSION) throw new Error(`${zig} is zig ${version}, wanted is ${ZIG_VERSION}`);
  return zig;
}
