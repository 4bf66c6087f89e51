// Builds the guardian, then the addon, which carries it: plain into build/, instrumented into build-asan/ or build-tsan/.
// Usage: node scripts/build-native.mjs [asan | tsan]
import { mkdirSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { buildGuardian, guardianPath } from './build-guardian.mjs';
import { headersPrefix, programs, root, run } from './support.mjs';

// gyp builds into `build` beside its binding.gyp, so each variant has a directory that sees the sources through links.
const variants = {
  plain: { directory: root, defines: '' },
  asan: { directory: join(root, 'build-asan'), defines: 'sanitize=address,undefined' },
  tsan: { directory: join(root, 'build-tsan'), defines: 'sanitize=thread' },
};

export const addonPath = (variant) => join(variants[variant].directory, 'build/Release/addon.node');

const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Incremental; the exit status of node-gyp. */
export function buildNative(variant) {
  const { directory, defines } = variants[variant];
  const addon = addonPath(variant);
  const started = new Date();

  if (directory !== root) {
    mkdirSync(directory, { recursive: true });
    for (const name of ['binding.gyp', 'native', 'scripts']) {
      rmSync(join(directory, name), { force: true });
      symlinkSync(join('..', name), join(directory, name));
    }
  }
  // make sees neither of them as an input of the link.
  if (['binding.gyp', 'native/addon/exports.map'].some((input) => modified(join(root, input)) > modified(addon))) {
    rmSync(join(directory, 'build'), { recursive: true, force: true });
  }

  // An instrumented addon carries the plain guardian.
  const carried = guardianPath();
  if (variant === 'plain' || !modified(carried)) {
    const status = buildGuardian();
    if (status !== 0) return status;
  }
  const carrier = join(directory, 'build/Release/obj.target/addon/native/addon/carried.o');
  if (modified(carried) > modified(carrier)) rmSync(carrier, { force: true });

  const all = [process.env.GYP_DEFINES, defines, `"guardian=${carried}"`].filter(Boolean).join(' ');
  const env = { ...process.env, GYP_DEFINES: all };
  const args = ['configure', 'build', '--directory', directory, '--jobs', 'max', '--loglevel', 'warn'];
  const prefix = headersPrefix();
  const chosen = env.npm_config_nodedir ?? env.npm_package_config_node_gyp_nodedir;
  if (prefix && !chosen) args.push('--nodedir', prefix);

  const status = run(process.execPath, [programs.nodeGyp, ...args], { env });
  // As old as the start, so that a source edited during the build counts as newer.
  if (status === 0) utimesSync(addon, started, started);
  if (status === 0 && variant === 'asan') return buildGuardian(variant);
  return status;
}

if (import.meta.filename === process.argv[1]) {
  const variant = process.argv[2] ?? 'plain';
  if (!Object.hasOwn(variants, variant)) throw new Error(`unknown variant: ${variant}`);
  process.exitCode = buildNative(variant);
}
