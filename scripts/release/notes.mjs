// node scripts/release/notes.mjs VERSION: what CHANGELOG.md says of that version; exit status 1 where it says nothing.
import { readFileSync } from 'node:fs';
import { notes } from './changelog.mjs';

console.log(notes(readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8'), process.argv[2]));
