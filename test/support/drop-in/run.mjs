// Runs the cases of a table on one of the modules that are compared, and prints what each saw as one line of JSON:
//   node run.mjs node|import|require|preload TABLE.mjs [NAME]
// Usage by test/support/drop-in/compare.ts. A case that throws says so; one that hangs is ended by the caller.
import '../environment.mjs';
import { subscribe } from 'node:diagnostics_channel';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as paths from '../paths.mjs';
import { errorOf, watch } from './watch.mjs';

const [which, table, only] = process.argv.slice(2);
const entry = `${paths.dist}child-process.js`;

async function module() {
  if (which === 'import') return (await import(entry)).default;
  if (which === 'require') return createRequire(import.meta.url)(entry);
  if (which === 'preload') await import(`${paths.dist}register.js`);
  return (await import('node:child_process')).default;
}

const cp = await module();
const { cases } = await import(pathToFileURL(table).href);
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'procgroup-drop-in-')));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Who has started the children of this run: the control of every comparison. */
const started = { engine: 0, node: 0 };
subscribe('child_process', ({ process: child }) => {
  process.nextTick(() => {
    if (child._handle) started[Symbol.for('procgroup.child_process.handle') in child._handle ? 'engine' : 'node']++;
  });
});

const musl = process.report.getReport().header.glibcVersionRuntime === undefined;

/** What the two modules cannot have in common: where the files of a run are. */
const same = (text) => text.replaceAll(folder, '<folder>').replaceAll(paths.root, '<root>/');

for (const [name, body] of Object.entries(cases)) {
  if (only !== undefined && name !== only) continue;
  let seen;
  try {
    seen = await body({
      cp,
      watch,
      errorOf,
      folder,
      which,
      node: process.execPath,
      uv: Number.parseFloat(process.versions.uv),
      musl,
      ...paths,
    });
  } catch (error) {
    seen = { threw: errorOf(error), stack: String(error?.stack) };
  }
  process.stdout.write(
    `${same(JSON.stringify({ name, seen }, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)))}\n`,
  );
}
process.stdout.write(`${JSON.stringify({ name: '', seen: started })}\n`);
process.exit();
