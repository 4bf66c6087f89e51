// Holds the released binaries against what is promised of them: all targets there, of the present sources, for their
// machine, needing nothing new of a system. Needs readelf. Packing calls it: npm run prebuild:check
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checksumOf, checksums, GUARDIAN, prebuilds, readChecksums, sourcesHash, wanted } from './prebuilds.mjs';
import { protocolBuild } from './protocol-build.mjs';

const GLIBC = 28; // GLIBC_2.28: Debian 10, RHEL 8
const LIMITS = { guardian: 100_000, addon: 420_000, all: 1_600_000 };
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
// Of glibc alone, whatever its parts are called, and of musl, which is one file.
const LIBRARIES = {
  glibc: /^(libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|libm\.so\.6|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1)$/,
  musl: /^libc\.so$/,
};
const MACHINE = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

const readelf = (...args) => execFileSync('readelf', ['--wide', ...args], { encoding: 'utf8', maxBuffer: 64 << 20 });
const all = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1]);

/** The highest 2.x of a symbol that is needed; 0: none. */
function highest(path) {
  return Math.max(0, ...all(readelf('--version-info', path), /GLIBC_2\.(\d+)/g).map(Number));
}

function problemsOfAddon(path, libc) {
  const problems = [];
  const needed = all(readelf('--dynamic', path), /\(NEEDED\).*\[(.+)\]/g);
  const foreign = needed.filter((name) => !LIBRARIES[libc].test(name));
  if (needed.length === 0 || foreign.length > 0) problems.push(`needs ${foreign.join(', ') || 'nothing'}`);
  const glibc = highest(path);
  if (libc === 'glibc' ? glibc === 0 || glibc > GLIBC : glibc !== 0) problems.push(`needs GLIBC_2.${glibc}`);
  const symbols = readelf('--dyn-syms', path)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , , binding, , section]) => binding !== 'LOCAL' && section && !['UND', 'Ndx'].includes(section))
    .map((fields) => fields[7].replace(/@.*/, ''));
  if (symbols.sort().join() !== EXPORTS.join()) problems.push(`exports ${symbols.join(', ') || 'nothing'}`);
  const flags = readelf('--dynamic', path);
  // The engine's thread outlives the Environment that loaded the addon.
  if (!/\bNODELETE\b/.test(flags) || !/\bNOW\b/.test(flags)) problems.push('is not linked with nodelete and now');
  return problems;
}

function problemsOfGuardian(path) {
  const headers = readelf('--program-headers', path);
  return /\b(INTERP|DYNAMIC)\b/.test(headers) ? ['is not static'] : [];
}

/** The protocol's build number, as either compiler puts it into the code or among the constants. */
function speaks(path, arch) {
  const number = Number(protocolBuild());
  const bytes = readFileSync(path);
  const word = Buffer.alloc(4);
  word.writeUInt32LE(number);
  if (arch === 'x64') return bytes.includes(word);
  // movz and movk of the two halves into any register, or a constant.
  const halves = [number & 0xffff, number >>> 16];
  const seen = [false, false];
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const code = bytes.readUInt32LE(at);
    const value = (code >>> 5) & 0xffff;
    const opcode = code & 0x7fe00000;
    if (opcode === 0x52800000 && value === halves[0]) seen[0] = true;
    if (opcode === 0x72a00000 && value === halves[1]) seen[1] = true;
  }
  return bytes.includes(word) || (seen[0] && seen[1]);
}

function problemsOf(name, sums) {
  const path = join(prebuilds, name);
  if (!existsSync(path)) return ['is missing'];
  const problems = [];
  const arch = /^linux-(\w+)\//.exec(name)[1];
  const libc = /\.(glibc|musl)\.node$/.exec(name)?.[1];
  const { mode, size } = statSync(path);
  if ((mode & 0o777) !== 0o755) problems.push(`has mode ${(mode & 0o777).toString(8)}`);
  if (size > LIMITS[libc ? 'addon' : 'guardian']) problems.push(`is ${size} bytes large`);
  if (!readelf('--file-header', path).includes(MACHINE[arch])) problems.push('is for another machine');
  if (checksumOf(name).sha256 !== sums.files[name]?.sha256) problems.push('is not the file of checksums.json');
  if (!speaks(path, arch)) problems.push('speaks another build of the protocol');
  problems.push(...(libc ? problemsOfAddon(path, libc) : problemsOfGuardian(path)));
  return problems;
}

/** Every problem, as a line. */
export function checkPrebuilds() {
  if (!existsSync(checksums)) return ['prebuilds/checksums.json is missing: npm run prebuild:all'];
  const sums = readChecksums();
  const problems = wanted.flatMap((name) => problemsOf(name, sums).map((problem) => `${name} ${problem}`));
  if (sums.sources !== sourcesHash()) problems.push('the binaries are of other sources: npm run prebuild:all');
  const there = readdirSync(prebuilds, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath !== prebuilds)
    .map((entry) => join(entry.parentPath, entry.name).slice(prebuilds.length + 1));
  problems.push(...there.filter((name) => !wanted.includes(name)).map((name) => `${name} is none of ours`));
  const total = wanted.reduce((sum, name) => sum + (checksumOf(name)?.size ?? 0), 0);
  if (total > LIMITS.all) problems.push(`all together are ${total} bytes large`);
  return problems;
}

if (import.meta.filename === process.argv[1]) {
  for (const name of wanted) {
    const path = join(prebuilds, name);
    if (!existsSync(path)) continue;
    const glibc = name.endsWith('.glibc.node') ? `, GLIBC_2.${highest(path)} at most` : '';
    console.log(`${name}: ${statSync(path).size} bytes${glibc}${name.endsWith(GUARDIAN) ? ', static' : ''}`);
  }
  const problems = checkPrebuilds();
  for (const problem of problems) console.error(problem);
  console.log(`${wanted.length} files, ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
