// Packages of Debian for another architecture or release, unpacked without being installed: apt with folders of its own, so
// that nothing of the machine changes and nobody needs to be root. Needs apt-get, dpkg-deb and Debian's keys.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once } from './downloads.mjs';

const MIRROR = 'http://deb.debian.org/debian';
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** What debianFiles() needs of the machine: files and programs. */
export const debianNeeds = { programs: ['apt-get', 'dpkg-deb', 'tar', 'bash'], files: [KEYS] };

/** Runs a program of apt that knows that release alone; its output. */
function apt(state, program, args, options = {}) {
  return execFileSync(program, args, {
    env: { ...process.env, APT_CONFIG: join(state, 'apt.conf'), LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    ...options,
  });
}

/** The lists of a release, as of the first time. */
function lists(downloads, release, arch) {
  return once(downloads, `debian-${release}-${arch}-lists`, (state) => {
    for (const name of ['lists/partial', 'cache/archives/partial', 'empty'])
      mkdirSync(join(state, name), { recursive: true });
    writeFileSync(join(state, 'status'), '');
    writeFileSync(join(state, 'sources.list'), `deb [signed-by=${KEYS}] ${MIRROR} ${release} main\n`);
    configure(state, arch);
    apt(state, 'apt-get', ['update', '-qq']);
  });
}

/** The paths in it are absolute, and the folder is renamed once it is whole. */
function configure(state, arch) {
  const settings = {
    'APT::Architecture': arch,
    'APT::Architectures': arch,
    'APT::Sandbox::User': 'root',
    'Dir::State': state,
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': join(state, 'cache'),
    'Dir::Etc::main': join(state, 'empty/apt.conf'),
    'Dir::Etc::parts': join(state, 'empty'),
    'Dir::Etc::sourcelist': join(state, 'sources.list'),
    'Dir::Etc::sourceparts': join(state, 'empty'),
    'Dir::Etc::preferencesparts': join(state, 'empty'),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  writeFileSync(join(state, 'apt.conf'), `${lines.join('\n')}\n`);
}

/** The package that a package such as linux-image-arm64 stands for. */
export function standsFor(downloads, { release, arch }, name, pattern) {
  const state = lists(downloads, release, arch);
  configure(state, arch);
  const found = apt(state, 'apt-cache', ['depends', '--important', name]).match(pattern)?.[0];
  if (!found) throw new Error(`${name} stands for nothing like ${pattern}`);
  return found;
}

/**
 * A folder with the files of the packages, and of all that they depend on where `whole` is true; or with the given paths of
 * them alone. No script of theirs runs.
 */
export function debianFiles(downloads, { release, arch, whole = false, paths = [] }, packages) {
  const title = createHash('sha256')
    .update(JSON.stringify([packages, whole, paths]))
    .digest('hex')
    .slice(0, 12);
  return once(downloads, `debian-${release}-${arch}-${title}`, (folder) => {
    console.log(`fetching ${packages.join(', ')} of Debian ${release} for ${arch}`);
    const state = lists(downloads, release, arch);
    configure(state, arch);
    const archives = join(folder, '.archives');
    mkdirSync(join(archives, 'partial'), { recursive: true });
    if (whole) {
      const install = ['install', '-qq', '--yes', '--download-only', '--no-install-recommends', ...packages];
      apt(state, 'apt-get', ['-o', `Dir::Cache::archives=${archives}`, ...install]);
    } else {
      apt(state, 'apt-get', ['-qq', 'download', ...packages], { cwd: archives });
    }
    // As Debian lays a system out; the packages bring both names.
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
      mkdirSync(join(folder, 'usr', name), { recursive: true });
      symlinkSync(`usr/${name}`, join(folder, name));
    }
    const unpack =
      'archive=$1; shift; dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink --no-same-owner -C "$@"';
    const without = ['doc', 'man', 'locale', 'info'].map((name) => `--exclude=./usr/share/${name}`);
    for (const name of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
      const args = ['-ec', `set -o pipefail; ${unpack}`, 'bash', join(archives, name), folder, ...without, ...paths];
      execFileSync('bash', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    }
    rmSync(archives, { recursive: true });
  });
}
