import type { Readable } from 'node:stream';
import type { ProcessGroup } from '../../dist/index.js';
import { dist, member } from './paths.mjs';
import { type Ready, readReady } from './ready.mjs';
import type { Scenario } from './scenario.js';
import { quiet } from './start.js';

/** For `ready`: the line on descriptor 3. */
export async function readyLine(group: ProcessGroup): Promise<Ready> {
  const line = group.stdio[3] as Readable;
  const ready = await readReady(line);
  line.destroy();
  return ready;
}

/** A definition: member VERB with the scenario's mark. */
export const define = (scenario: Scenario, args: readonly string[] = ['sleep']) => ({
  file: member,
  args: ['-r', '3', ...args],
  spawn: { env: scenario.env, stdio: quiet },
  ready: readyLine,
});

/** The scenario's processes that are helpers, not guardians. */
export const alivePids = (scenario: Scenario) =>
  scenario
    .alive()
    .filter(({ cmdline }) => cmdline.startsWith(member))
    .map(({ pid }) => pid);

/** For subjects: the names of procgroup/helper and procgroup/scope, and `define(verb, more)`. */
export const helperPrelude = `
  const { sharedHelper, helpers, report, reportOn, HelperError } = await import(${JSON.stringify(`${dist}helper.js`)});
  const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
  const define = (verb = 'sleep', more = {}) => ({
    file: member, args: [verb], ready: (group) => readReady(group.stdout), ...more,
  });
`;
