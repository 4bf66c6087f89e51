import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './paths.mjs';
import type { Scenario } from './scenario.js';

export interface Installed {
  folder: string;
  /** The package's main file. */
  index: string;
  guardian: string;
}

/** The package as an installation has it, with the binaries of this build in the place of prebuilt ones. */
export function install(scenario: Scenario): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-copy-'));
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['package.json', 'dist']) cpSync(join(root, name), join(folder, name), { recursive: true });
  const prebuilt = join(folder, 'prebuilds', `linux-${process.arch}`);
  mkdirSync(prebuilt, { recursive: true });
  const release = join(root, 'build/Release');
  for (const libc of ['glibc', 'musl']) cpSync(join(release, 'addon.node'), join(prebuilt, `procgroup.${libc}.node`));
  const guardian = join(prebuilt, 'procgroup-guardian');
  cpSync(join(release, 'procgroup-guardian'), guardian);
  return { folder, index: join(folder, 'dist/index.js'), guardian };
}
