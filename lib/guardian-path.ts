import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProcessGroupError } from './errors.js';

let found: string | undefined;

/** The helper executable: of a build from source, else of this platform's prebuilt files. Throws ERR_GUARDIAN_MISSING. */
export function guardianPath(): string {
  if (process.env.PROCGROUP_TEST_GUARDIAN) return process.env.PROCGROUP_TEST_GUARDIAN;
  if (found !== undefined) return found;
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const places = [
    join(root, 'build', 'Release', 'procgroup-guardian'),
    join(root, 'prebuilds', `linux-${process.arch}`, 'procgroup-guardian'),
  ];
  found = places.find((place) => existsSync(place));
  if (found === undefined) {
    throw new ProcessGroupError(`the guardian is not there: looked for ${places.join(' and ')}`, {
      code: 'ERR_GUARDIAN_MISSING',
      stage: 'guardian',
    });
  }
  return found;
}
