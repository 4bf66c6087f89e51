// The API reference: a module for each export of package.json. `npm run docs:api`; a warning is an error.
import { readFileSync } from 'node:fs';

const { exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
/** Every file that a target or its conditions name. */
const files = (target) => (typeof target === 'string' ? [target] : Object.values(target).flatMap(files));
const built = new Set(files(exports).filter((path) => path.startsWith('./dist/') && path.endsWith('.js')));

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'procgroup',
  entryPoints: [...built].map((path) => path.replace(/^\.\/dist\/(.+)\.js$/, 'lib/$1.ts')),
  tsconfig: 'tsconfig.json',
  out: 'docs/api',
  readme: 'none',
  disableGit: true,
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  // What a name like `pid` says needs no sentence.
  requiredToBeDocumented: ['Class', 'Interface', 'TypeAlias', 'Enum', 'Variable', 'Function', 'Method', 'Accessor'],
  intentionallyNotExported: [
    'lib/stdio-types.ts:Piped',
    'lib/stdio-types.ts:Entry',
    'lib/child-process.ts:ForkChild',
    ...['Three', 'Callback', 'ToBuffer', 'ToString', 'Either', 'Entry', 'Output'].map(
      (name) => `lib/child-process/signatures.ts:${name}`,
    ),
  ],
  validation: { notDocumented: true, notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true },
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
