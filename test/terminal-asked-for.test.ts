// C3, beside terminal-job-control.test.ts: what the command asks of the terminal while the job is being stopped.
import { expect, it } from 'vitest';
import { bin } from './support/cli.js';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { Shell } from './support/pty.js';
import type { Ready } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';
import { pauseByTracer } from './support/tracer.js';

const scenario = useScenario();

it('C3: Ctrl-Z at the moment at which the command asks for the terminal is not lost', async () => {
  scenario.leaves();
  const bash = await Shell.start({
    env: { ...scenario.env, P: `${bin} run`, M: [member, 'asks-for-terminal'].join(' ') },
  });
  scenario.defer(() => bash.close());
  // The sleep shares the job's group, which therefore keeps the terminal until the command wants to read.
  bash.type('(sleep 1000 & exec $P $M)\n');
  const [, json = ''] = await bash.expect(/ready (\{.*\})/);
  const command = (JSON.parse(json) as Ready).pid;
  const goOn = await pauseByTracer(scenario, stat(command)?.ppid ?? 0);
  process.kill(command, 'SIGUSR1');
  await waitUntil(() => stat(command)?.state === 'T' || null, { what: 'stopped by SIGTTIN' });
  bash.type('\x1a');
  await bash.expect('^Z');
  await goOn();
  await bash.expect(/Stopped.*@>/s);
  expect(await bash.foreground()).toBe(await bash.pid);
  bash.type('fg\n');
  bash.type('text\n');
  await bash.expect('got:text');
  await bash.expect(Shell.PROMPT);
  expect(await bash.status()).toBe(0);
  expect(await bash.foreground()).toBe(await bash.pid);
});
