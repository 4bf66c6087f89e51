// The build number of the protocol between engine and guardian: a hash of everything that its messages are made of, so that
// nobody has to raise it. Both are compiled with it, and refuse each other where it differs. Prints it.
// Usage: node scripts/protocol-build.mjs [NATIVE_FOLDER]
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './support.mjs';

/** protocol.h and what it includes of ours, in the order in which it is met. */
export function protocolSources(folder = join(root, 'native')) {
  const files = [join(folder, 'core/protocol.h')];
  for (const file of files) {
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/^#include "([^"]+)"/gm)) {
      const path = join(dirname(file), name);
      if (!files.includes(path)) files.push(path);
    }
  }
  return files;
}

/** A number of 32 bits, never 0. */
export function protocolBuild(folder) {
  const hash = createHash('sha256').update(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  for (const file of protocolSources(folder)) hash.update('\0').update(readFileSync(file));
  return `0x${(hash.digest().readUInt32BE() || 1).toString(16)}`;
}

// The instrumented builds see this folder through a link.
if (process.argv[1] && import.meta.filename === realpathSync(process.argv[1]))
  console.log(protocolBuild(process.argv[2]));
