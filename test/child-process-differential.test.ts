// The drop-in against node:child_process itself: every case is run on both, and must show the same. What may differ is
// listed, with its reason, in docs/child-process-compat.md.
import { describe } from 'vitest';
import { compareTable, type Module, type Table } from './support/drop-in/compare.js';
import { root } from './support/paths.mjs';

const names = ['spawn', 'errors', 'signals', 'events', 'context', 'exec', 'fork', 'limits'];
const tables = await Promise.all(
  names.map(async (name): Promise<[string, Table]> => {
    const { cases } = (await import(`./support/drop-in/cases-${name}.mjs`)) as { cases: Table };
    return [name, cases];
  }),
);

describe.each(tables)('the drop-in does as Node does: %s', (name, cases) => {
  const modules: Module[] =
    name === 'exec'
      ? ['import', 'preload', 'require']
      : name === 'spawn' || name === 'fork'
        ? ['import', 'preload']
        : ['import'];
  compareTable(`${root}test/support/drop-in/cases-${name}.mjs`, cases, modules);
});
