// The example of incident 1 shows what it says, by one command, and leaves nothing.
import { expect, it } from 'vitest';
import { root } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

it('H7: the example incident-1-lease-lost', async () => {
  const { code, signal, stdout, stderr } = await runNode(`${root}examples/incident-1-lease-lost/main.mjs`, {
    env: { ...scenario.env, FORCE_COLOR: undefined },
  });
  expect({ code, signal, stderr }, stdout).toEqual({ code: 0, signal: null, stderr: '' });
  expect(stdout, 'what child.kill() leaves').toMatch(/\+ the incident: [1-9]\d* processes live on/);
  expect(stdout).toContain('outcome: lease-lost (refused)');
  expect(stdout).toContain('outcome: lease-lost (expired)');
  expect(stdout.match(/\+ \/proc agrees with the report: nobody is left/g)).toHaveLength(2);
  expect(stdout).not.toContain('!');
  expect(scenario.alive()).toEqual([]);
});
