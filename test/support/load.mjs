// Loads the built package of a folder and calls what needs no child. Usage: node load.mjs FOLDER
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const folder = process.argv[2];
const load = (name) => import(pathToFileURL(`${folder}/dist/${name}.js`).href);
const [posix, { spawn, ProcessGroupError }] = await Promise.all([load('posix'), load('index')]);

// Not by /proc/self, which qemu-user makes up.
const field = (index) => Number(readFileSync('/proc/thread-self/stat', 'utf8').replace(/.*\)/s, '').split(' ')[index]);
const checks = {
  getpgrp: () => assert.equal(posix.getpgrp(), field(3)),
  getpgid: () => assert.equal(posix.getpgid(process.pid), field(3)),
  getsid: () => assert.equal(posix.getsid(0), field(4)),
  killpg: () => assert.throws(() => posix.killpg(posix.getpgrp(), 'SIGTERM'), ProcessGroupError),
  missing: () => assert.throws(() => posix.getpgid(2 ** 22 + 1), { code: 'ESRCH' }),
  spawn: () => assert.rejects(spawn(''), { code: 'ERR_INVALID_ARG_VALUE' }),
};
for (const check of Object.values(checks)) await check();
console.log(`load ok ${process.arch} ${Object.keys(checks).length}`);
