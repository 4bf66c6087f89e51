import { fs, path } from './builtins.js';
import { thisFile } from './package-files.js';

/** A file of the test suite, which no package holds. */
const MARKER = 'test/support/native/fakeguardian.c';

/**
 * The value of a PROCGROUP_TEST_ variable, where the suite lies beside this package. An installed package has no such switch:
 * whoever can set a variable in a program's environment must not thereby choose the code that it loads or starts.
 */
export function testSwitch(name: 'ADDON' | 'GUARDIAN' | 'DISABLE'): string | undefined {
  const value = process.env[`PROCGROUP_TEST_${name}`];
  if (!value) return undefined;
  const { dirname, join } = path();
  const root = dirname(dirname(thisFile()));
  return fs().existsSync(join(root, MARKER)) ? value : undefined;
}
