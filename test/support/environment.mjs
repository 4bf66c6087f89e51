// What every process of a test run has in its environment. Importing this file prepares process.env once:
// - PROCGROUP_TEST_MARK becomes one below the mark that this process was given. It is inherited by everything that is
//   started with the default environment, so that no survivor is anonymous. /proc shows the environment that exec was
//   given: a process never bears the mark it gives to its children.
// - LD_PRELOAD (a sanitizer's runtime, needed by Node for the addon) is put aside, so that members do not load it.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { build } from './paths.mjs';

export const MARK = 'PROCGROUP_TEST_MARK';
const PRELOAD = 'PROCGROUP_TEST_PRELOAD';

/** A mark below the one that this process was given: alive(id) finds those of all marks below id. */
export function newMark() {
  const above = process.env[MARK];
  // Not by node:crypto, whose loading is a quarter of what a subject needs to start.
  const own = `${process.pid}-${Math.floor(Math.random() * 2 ** 48).toString(36)}`;
  const id = above === undefined ? own : `${above}.${own}`;
  return { id, env: { [MARK]: id } };
}

/** Put before node where another program is started first, which may not run with what was put aside (dash, ps). */
export function preloading(env = process.env) {
  return env[PRELOAD] === undefined ? [] : ['env', `LD_PRELOAD=${env[PRELOAD]}`];
}

/** The environment for a Node that loads the addon: with what was put aside. */
export function subjectEnv(env = process.env) {
  const { [PRELOAD]: preload, ...rest } = env;
  return preload === undefined ? rest : { ...rest, LD_PRELOAD: preload };
}

/** The environment for a shell script that becomes node: the one it finds on PATH preloads what was put aside. */
export function scriptEnv(env = process.env) {
  return env[PRELOAD] === undefined ? env : { ...env, PATH: `${build}preloading:${env.PATH}` };
}

/** Makes that node. */
export function preparePreloading() {
  if (process.env[PRELOAD] === undefined) return;
  mkdirSync(`${build}preloading`, { recursive: true });
  const script = `#!/bin/sh\nLD_PRELOAD=$${PRELOAD} exec ${process.execPath} "$@"\n`;
  // Moved into its place: another run may be using it.
  writeFileSync(`${build}preloading/node.${process.pid}`, script, { mode: 0o755 });
  renameSync(`${build}preloading/node.${process.pid}`, `${build}preloading/node`);
}

process.env[MARK] = newMark().id;
if (process.env.LD_PRELOAD !== undefined) {
  process.env[PRELOAD] = process.env.LD_PRELOAD;
  delete process.env.LD_PRELOAD;
}
