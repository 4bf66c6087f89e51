import { fs, module, path, url } from './builtins.js';
import { ProcessGroupError } from './errors.js';

// Of CommonJS, where a bundler has made this file a part of it.
declare const __filename: string | undefined;

/** This file. A bundler that makes CommonJS leaves import.meta empty; in a single executable it is the executable. */
export function thisFile(): string {
  const address = import.meta.url as string | undefined;
  if (address !== undefined) return url().fileURLToPath(address);
  return typeof __filename === 'string' ? __filename : process.execPath;
}

/** Loads what lies beside this file; also where `require` itself knows Node's own modules alone. */
export const requireHere = (): NodeJS.Require => module().createRequire(thisFile());

/** Of the repository, which no package holds. */
const MARKER = 'native/addon/exports.map';

/**
 * Where a binary of the package may lie, best first: a build from source; prebuilt files of the package, of a bundle that has
 * its own prebuilds/ beside it or in the folder above, of an installed package that a bundle was made from.
 */
export function* binaryPlaces(built: string, prebuilt: readonly string[]): Generator<string> {
  const { dirname, join } = path();
  const beside = dirname(thisFile());
  const root = dirname(beside);
  // A bundle's folder above may hold a build of somebody else's addon.
  if (fs().existsSync(join(root, MARKER))) yield join(root, 'build', 'Release', built);
  const folder = join('prebuilds', `linux-${process.arch}`);
  for (const name of prebuilt) yield join(root, folder, name);
  for (const name of prebuilt) yield join(beside, folder, name);
  let installed: string;
  try {
    installed = dirname(requireHere().resolve('procgroup/package.json'));
  } catch {
    return;
  }
  if (installed === root) return;
  for (const name of prebuilt) yield join(installed, folder, name);
}

/** The libc of this Node: the one whose loader its executable names, or is. */
function libc(): 'glibc' | 'musl' {
  const { openSync, readSync, closeSync, readlinkSync } = fs();
  const musl = 'ld-musl-';
  try {
    if (readlinkSync('/proc/self/exe').includes(musl)) return 'musl';
    const head = new Uint8Array(4096);
    const fd = openSync('/proc/self/exe', 'r');
    try {
      readSync(fd, head, 0, head.length, 0);
    } finally {
      closeSync(fd);
    }
    return Buffer.from(head.buffer).includes(musl) ? 'musl' : 'glibc';
  } catch {
    return 'glibc'; // no /proc
  }
}

/**
 * Loads the addon. Throws ERR_ADDON_MISSING where there is none, and ERR_ADDON_REFUSED where none that is there can be
 * loaded; `cause` is the loader's error for the first.
 */
export function loadAddon(): unknown {
  const require = requireHere();
  const own = libc();
  const names = [own, own === 'musl' ? 'glibc' : 'musl'].map((name) => `procgroup.${name}.node`);
  const looked: string[] = [];
  let refused: unknown;
  for (const place of binaryPlaces('addon.node', names)) {
    looked.push(place);
    if (!fs().existsSync(place)) continue;
    try {
      return require(place);
    } catch (error) {
      refused ??= error;
    }
  }
  if (refused !== undefined) {
    throw new ProcessGroupError(
      `the addon cannot be loaded: ${(refused as Error).message}`,
      { code: 'ERR_ADDON_REFUSED', stage: 'validate' },
      { cause: refused },
    );
  }
  throw new ProcessGroupError(`the addon is not there: looked for ${looked.join(' and ')}`, {
    code: 'ERR_ADDON_MISSING',
  });
}
