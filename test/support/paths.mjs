// Where the tests' programs and the package under test are.
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const dist = `${root}dist/`;
export const build = `${root}test/.build/`;
export const sources = `${root}test/support/native/`;
export const member = `${build}member`;
export const deny = `${build}deny`;
export const tracer = `${build}tracer`;
export const hold = `${build}hold`;
export const actor = `${root}test/support/actor.mjs`;
export const stray = `${build}stray.so`;
