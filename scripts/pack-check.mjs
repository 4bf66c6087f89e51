// What the tarball would hold: everything that package.json refers to, and nothing that makes a package manager compile.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ensureBuilt } from './ensure-built.mjs';
import { root } from './support.mjs';

await ensureBuilt();
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  cwd: root,
  encoding: 'utf8',
});
const [tarball] = Object.values(JSON.parse(output));
const files = new Map(tarball.files.map(({ path, mode }) => [path, mode]));
const problems = [];

const targets = (value) => (typeof value === 'string' ? [value] : Object.values(value).flatMap(targets));
const referred = [...targets(manifest.exports), ...Object.values(manifest.bin)].map((path) =>
  path.replace(/^\.\//, ''),
);
for (const path of [...referred, 'LICENSE', 'README.md']) {
  if (!files.has(path)) problems.push(`missing: ${path}`);
}
for (const path of Object.values(manifest.bin)) {
  const mode = statSync(join(root, path), { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o111) !== 0o111) problems.push(`not executable: ${path}`);
}

const allowed = [
  /^(package\.json|LICENSE|README\.md|CHANGELOG\.md)$/,
  /^bin\//,
  /^prebuilds\//,
  /^dist\/.+(\.js|\.js\.map|\.d\.ts)$/,
];
for (const path of files.keys()) {
  if (!allowed.some((pattern) => pattern.test(path))) problems.push(`unexpected: ${path}`);
  const source = /^dist\/((?!part-).+?)(\.js|\.js\.map|\.d\.ts)$/.exec(path)?.[1];
  if (source && !statSync(join(root, `lib/${source}.ts`), { throwIfNoEntry: false }))
    problems.push(`no source: ${path}`);
}

// A root binding.gyp or an install script would make an installation compile, or be blocked.
const scripts = ['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => manifest.scripts[name]);
for (const name of scripts) problems.push(`script: ${name}`);
if (manifest.gypfile !== false) problems.push('package.json must say "gypfile": false');
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
for (const [path, entry] of Object.entries(lock.packages)) {
  if (entry.resolved) problems.push(`package-lock.json names a registry: ${path}`);
}

// Throws where an export cannot be loaded, and where lib/ awaits at top level: a CommonJS program could not load it.
const require = createRequire(join(root, 'package.json'));
for (const name of Object.keys(manifest.exports)) require(join(manifest.name, name));

for (const problem of problems) console.error(problem);
console.log(
  `${tarball.filename}: ${files.size} files, ${tarball.unpackedSize} bytes unpacked, ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
