// What binding.gyp says about the addon, for a build without gyp: one recipe for both.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { protocolBuild } from './protocol-build.mjs';
import { headersPrefix, root } from './support.mjs';

/** What gyp adds by Node's own settings, as far as it concerns the code. */
const NODES = ['-fPIC', '-pthread', '-fno-strict-aliasing', '-D_LARGEFILE_SOURCE', '-D_FILE_OFFSET_BITS=64'];

function gyp() {
  const text = readFileSync(join(root, 'binding.gyp'), 'utf8')
    .replace(/^\s*#.*$/gm, '')
    .replace(/,(\s*[\]}])/g, '$1');
  return JSON.parse(text);
}

const sources = (folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => `${folder}/${name}`);

/** The flags of one target of binding.gyp, and of the conditions that hold for the architecture. */
function flagsOf(parts, key, arch) {
  return parts.flatMap((part) => [
    ...(part[key] ?? []),
    ...(part.conditions ?? []).flatMap(([condition, then]) =>
      condition === `target_arch=='${arch}'` ? (then[key] ?? []) : [],
    ),
  ]);
}

const SOURCES = {
  procgroup_child: () => ['native/core/child.cc'],
  procgroup_core: () => sources('native/core').filter((name) => name !== 'native/core/child.cc'),
  addon: () => sources('native/addon'),
};

/** Folder that holds node_api.h and uv.h: of this Node, or of npm's setting `nodedir`. */
function headers() {
  const prefix = process.env.npm_package_config_node_gyp_nodedir ?? process.env.npm_config_nodedir ?? headersPrefix();
  if (!prefix) throw new Error('the headers of Node are not beside it; npm_config_nodedir names their prefix');
  return join(prefix, 'include/node');
}

/** Objects with their flags, and the flags of the link. Paths are relative to the repository's root. */
export function addonRecipe(arch) {
  const { target_defaults, targets } = gyp();
  const napi = createRequire(import.meta.url)('node-addon-api').include_dir;
  const include = { addon: [`-I${napi}`, `-I${headers()}`] };
  const defines = (part) => (part.defines ?? []).filter((name) => !name.includes('<')).map((name) => `-D${name}`);
  const objects = targets.flatMap((target) => {
    const parts = [target_defaults, target];
    const flags = [
      ...NODES,
      ...parts.flatMap(defines),
      `-DPROCGROUP_BUILD=${protocolBuild()}`,
      '-Inative',
      ...(include[target.target_name] ?? []),
      ...flagsOf(parts, 'cflags', arch),
      ...flagsOf(parts, 'cflags_cc', arch),
    ];
    if (!flags.some((flag) => /^-O/.test(flag))) flags.push('-Os');
    return SOURCES[target.target_name]().map((source) => ({ source, flags }));
  });
  const addon = targets.find((target) => target.target_name === 'addon');
  const link = flagsOf([addon], 'ldflags', arch).map((flag) => flag.replace('<(module_root_dir)/', ''));
  return { objects, link };
}
