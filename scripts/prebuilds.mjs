// What lies below prebuilds/: names, checksums, and the sources that they belong to.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './support.mjs';

export const ARCHES = ['x64', 'arm64'];
export const LIBCS = ['glibc', 'musl'];
export const GUARDIAN = 'procgroup-guardian';
export const ADDON = { glibc: 'procgroup.glibc.node', musl: 'procgroup.musl.node' };
export const NAMES = [GUARDIAN, ...Object.values(ADDON)];

export const prebuilds = join(root, 'prebuilds');
export const checksums = join(prebuilds, 'checksums.json');

/** Paths below prebuilds/ of every binary that a release has. */
export const wanted = ARCHES.flatMap((arch) => NAMES.map((name) => `linux-${arch}/${name}`));

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

/** One hash of everything in the repository that the binaries are made of. */
export function sourcesHash() {
  const below = (folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  const recipes = ['build-guardian', 'native-recipe', 'prebuild', 'protocol-build', 'zig'];
  const files = [
    ...below('native'),
    ...below('scripts/toolchain'),
    'binding.gyp',
    'package.json',
    ...recipes.map((name) => `scripts/${name}.mjs`),
  ];
  return sha256(
    ...files.sort().flatMap((name) => {
      const content = readFileSync(join(root, name));
      // Of package.json, the version is compiled in.
      return [name, '\0', name === 'package.json' ? JSON.parse(content).version : content, '\0'];
    }),
  );
}

export const checksumOf = (name) => {
  const path = join(prebuilds, name);
  return existsSync(path) ? { sha256: sha256(readFileSync(path)), size: statSync(path).size } : undefined;
};

export const readChecksums = () => JSON.parse(readFileSync(checksums, 'utf8'));

/** Of the binaries that are there; those of an architecture that was not built now must be of the same sources. */
export function writeChecksums() {
  const files = Object.fromEntries(wanted.map((name) => [name, checksumOf(name)]).filter(([, sum]) => sum));
  writeFileSync(checksums, `${JSON.stringify({ sources: sourcesHash(), files }, null, 2)}\n`);
}
