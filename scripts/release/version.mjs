// npm run release:version: takes the changesets into CHANGELOG.md, package.json and package-lock.json, and deletes them. The version is
// compiled into the binaries, so their checksums are made anew. Prints the new version, or that there is nothing to release.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { entryOf, release } from './changelog.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));

function run(file, args) {
  const { status, error } = spawnSync(file, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: exit status ${status}`);
}

const read = (name) => JSON.parse(readFileSync(join(root, name), 'utf8'));
const write = (name, value) => writeFileSync(join(root, name), `${JSON.stringify(value, null, 2)}\n`);
const changeset = (...args) => run(process.execPath, [join(here, 'node_modules/@changesets/cli/bin.js'), ...args]);

/** What the changesets ask for; null where there are none. */
function planned() {
  const files = readdirSync(join(root, '.changeset')).filter((name) => name.endsWith('.md') && name !== 'README.md');
  if (files.length === 0) return null;
  const scratch = mkdtempSync(join(tmpdir(), 'procgroup-release-'));
  try {
    const file = join(scratch, 'plan.json');
    changeset('status', `--output=${file}`);
    const plan = JSON.parse(readFileSync(file, 'utf8'));
    for (const one of plan.changesets) entryOf(one); // before anything is written
    return plan;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const changelog = join(root, 'CHANGELOG.md');
const before = readFileSync(changelog, 'utf8');
// The very first release has the version that package.json was begun with.
const first = !before.includes(`## [${read('package.json').version}]`);
const plan = planned();
if (plan === null && !first) {
  console.log('no changesets: nothing to release');
} else {
  if (plan !== null && !first) changeset('version');
  else for (const { id } of plan?.changesets ?? []) rmSync(join(root, '.changeset', `${id}.md`));
  const { version, scripts } = read('package.json');
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(changelog, release(before, version, date, plan?.changesets ?? []));
  const lock = read('package-lock.json');
  lock.version = version;
  lock.packages[''].version = version;
  write('package-lock.json', lock);
  if (scripts['prebuild:all']) run('npm', ['run', 'prebuild:all']);
  console.log(`version ${version}`);
}
