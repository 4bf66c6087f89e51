// Arguments and options count as they are at the call: what is read again later, for another try or another run, is a copy.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sharedHelper } from '../dist/helper.js';
import { supervise } from '../dist/supervise.js';
import { WorkloadPool } from '../dist/workload.js';
import { deny } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { workloads } from './support/workloads.js';

const scenario = useScenario();

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'procgroup-call-'));
  scenario.defer(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Says its argument and FLAG of its environment, then fails. */
const SAYS = 'echo "$1 $FLAG" >> "$0"; exit 1';

it('strongest: the second try', async () => {
  const said = join(folder(), 'said');
  const source = `
    const [said, says] = ${JSON.stringify([said, SAYS])};
    const args = ['-c', says, said, 'as called'], env = { FLAG: '1', ...process.env }, rlimits = { nofile: { soft: 64, hard: 64 } };
    const starting = spawn('/bin/sh', args, { containment: 'strongest', stdio: 'ignore', env, rlimits });
    args[3] = 'changed'; env.FLAG = '2'; rlimits.nofile = 'no limit';
    const group = await starting;
    await group.gone;
    console.log(JSON.stringify(group.mechanism.containment));`;
  const via = [deny, 'clone3:ENOSYS,clone/namespaces:EPERM,mkdirat:EPERM', '--'];
  expect(await runNodeJson({ source }, { env: scenario.env, via })).toBe('tree');
  expect(readFileSync(said, 'utf8')).toBe('as called 1\n');
});

it('supervise: every run', async () => {
  const said = join(folder(), 'said');
  const args = ['-c', SAYS, said, 'as called'];
  const env: NodeJS.ProcessEnv = { ...scenario.env, FLAG: '1' };
  const steps = [{ signal: 'SIGTERM' as NodeJS.Signals, graceMs: 200 }];
  const restart = { policy: 'on-failure', limit: 2, backoffMs: 1, maxBackoffMs: 1 } as const;
  const { outcome } = supervise('/bin/sh', args, { env, restart, teardown: steps });
  args[3] = 'changed';
  env.FLAG = '2';
  steps.push({ signal: 'SIGFOO' as NodeJS.Signals, graceMs: -1 });
  expect(await outcome).toMatchObject({ kind: 'exited', exit: { code: 1 }, runs: 3 });
  expect(readFileSync(said, 'utf8')).toBe('as called 1\n'.repeat(3));
});

it('a helper, which starts later', async () => {
  const env: NodeJS.ProcessEnv = { ...scenario.env, FLAG: '1' };
  const args = ['-c', 'echo "$0 $FLAG"; exec sleep 60', 'as called'];
  await using helper = sharedHelper(scenario.id, {
    file: '/bin/sh',
    args,
    spawn: { env, stdio: ['ignore', 'pipe', 'ignore'] },
    ready: async ({ stdout }) => String((await once(stdout, 'data'))[0]),
  });
  args[2] = 'changed';
  env.FLAG = '2';
  expect(await helper.use((said) => said)).toBe('as called 1\n');
});

it('a pool of workloads', async () => {
  const env: NodeJS.ProcessEnv = { ...scenario.env, FLAG: '1' };
  const execArgv = ['--title=as-called'];
  await using pool = new WorkloadPool({ env, execArgv });
  env.FLAG = '2';
  execArgv[0] = '--title=changed';
  const self = await pool.run<() => { env: NodeJS.ProcessEnv; execArgv: string[] }>(workloads, undefined, {
    exportName: 'self',
  });
  expect([self.env.FLAG, self.execArgv]).toEqual(['1', ['--title=as-called']]);
});
