// What every process of a test run has in its environment. Importing this file prepares process.env once:
// - PROCGROUP_TEST_MARK becomes one below the mark that this process was given. It is inherited by everything that is
//   started with the default environment, so that no survivor is anonymous. /proc shows the environment that exec was
//   given: a process never bears the mark it gives to its children.
// - LD_PRELOAD (a sanitizer's runtime, needed by Node for the addon) is put aside, so that members do not load it.
import { randomBytes } from 'node:crypto';

export const MARK = 'PROCGROUP_TEST_MARK';
const PRELOAD = 'PROCGROUP_TEST_PRELOAD';

/** A mark below the one that this process was given: alive(id) finds those of all marks below id. */
export function newMark() {
  const above = process.env[MARK];
  const own = `${process.pid}-${randomBytes(4).toString('hex')}`;
  const id = above === undefined ? own : `${above}.${own}`;
  return { id, env: { [MARK]: id } };
}

/** The environment for a Node that loads the addon: with what was put aside. */
export function subjectEnv(env = process.env) {
  const { [PRELOAD]: preload, ...rest } = env;
  return preload === undefined ? rest : { ...rest, LD_PRELOAD: preload };
}

process.env[MARK] = newMark().id;
if (process.env.LD_PRELOAD !== undefined) {
  process.env[PRELOAD] = process.env.LD_PRELOAD;
  delete process.env.LD_PRELOAD;
}
