// `npm run demo` proves what it shows, or fails.
import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { finish } from './support/cli.js';
import { subjectEnv } from './support/environment.mjs';
import { root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

it('the demo empties its tree, shows what child.kill() leaves, and cleans that up', async () => {
  const env = subjectEnv({ ...scenario.env, FORCE_COLOR: undefined, LC_ALL: 'C.UTF-8', TERM: 'xterm' });
  const child = spawn(process.execPath, [`${root}examples/demo.mjs`], {
    env,
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code, stdout, stderr } = await finish(child);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('✔ /proc agrees: nobody is left');
  expect(stdout).toContain('is free again');
  expect(stdout, 'what child.kill() leaves').toContain('still answers');
  expect(stdout).not.toContain('\u001b');
  expect(scenario.alive()).toEqual([]);
});
