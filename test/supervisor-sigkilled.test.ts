// What containment `group` does when the supervisor is SIGKILLed: the leader dies by its parent-death signal, and nobody
// else does. prctl(2), PR_SET_PDEATHSIG.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isDead, waitUntil } from './support/oracle.js';
import { type Ready, readReady } from './support/ready.mjs';
import { startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

describe('SIGKILL of the supervisor under containment group', () => {
  const scenario = useScenario();

  async function killSupervisor(memberArgs: readonly string[], options: string) {
    const subject = startNode(
      {
        source: `
          const group = await spawn(member, ${JSON.stringify(memberArgs)}, { containment: 'group', stdio: ['ignore', 'pipe', 'ignore'], ${options} });
          const said = await readReady(group.stdout);
          console.log('ready ' + JSON.stringify({ ...said, armed: group.mechanism.parentDeathSignal }));`,
      },
      { env: scenario.env },
    );
    subject.stderr?.pipe(process.stderr);
    const said = await readReady<Ready & { armed: string }>(subject.stdout ?? expect.fail('no stdout'));
    expect(isDead(said.pid)).toBe(false);
    subject.kill('SIGKILL');
    await once(subject, 'close');
    return said;
  }

  it('SIGKILL: the leader dies by its parent-death signal', async () => {
    const { pid, armed } = await killSupervisor(['ignore-term'], '');
    expect(armed).toBe('SIGKILL');
    await waitUntil(() => isDead(pid));
    expect(scenario.alive()).toEqual([]);
  });

  it('SIGKILL: a group spawned from a worker too, and not before', async () => {
    const subject = startNode(
      {
        source: `
          import { Worker } from 'node:worker_threads';
          const source = \`
            import { spawn } from \${JSON.stringify('file://' + paths.dist + 'index.js')};
            import { parentPort } from 'node:worker_threads';
            const group = await spawn(\${JSON.stringify(member)}, ['sleep'], { containment: 'group', stdio: 'ignore' });
            parentPort.postMessage(group.pid);
          \`;
          const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
          const pid = await new Promise((resolve) => worker.once('message', resolve));
          // Spawner threads come and go with load, if they do at all: PR_SET_PDEATHSIG would fire with them.
          for (let i = 0; i < 8; i++) {
            const groups = await Promise.all(Array.from({ length: 16 }, () => spawn(member, ['exit', '0'], { containment: 'group', stdio: 'ignore' })));
            await Promise.all(groups.map((group) => group.gone));
          }
          console.log('ready ' + JSON.stringify({ pid, members: [] }));
          setInterval(() => {}, 1e6);`,
      },
      { env: scenario.env },
    );
    subject.stderr?.pipe(process.stderr);
    const { pid } = await readReady(subject.stdout ?? expect.fail('no stdout'));
    expect(isDead(pid), 'alive as long as its supervisor is').toBe(false);
    subject.kill('SIGKILL');
    await once(subject, 'close');
    await waitUntil(() => isDead(pid));
  });

  it('SIGKILL: control: without the parent-death signal the leader survives', async () => {
    scenario.leaves();
    const { pid, armed } = await killSupervisor(['ignore-term'], "parentDeathSignal: 'none'");
    expect(armed).toBe('none');
    expect(isDead(pid)).toBe(false);
  });

  it('SIGKILL: what group does not cover: the other members survive', async () => {
    scenario.leaves();
    const { pid, members } = await killSupervisor(['grandchild-ignores-term'], '');
    await waitUntil(() => isDead(pid));
    expect(members.map(isDead)).toEqual([false]);
    expect(scenario.alive().map((one) => one.pid)).toEqual(members);
  });

  it('SIGKILL: the parent-death signal that was asked for', async () => {
    scenario.leaves();
    const { pid, armed } = await killSupervisor(['report-signals'], "parentDeathSignal: 'SIGUSR1'");
    expect(armed).toBe('SIGUSR1');
    // This member exits on SIGUSR1 and survives SIGTERM.
    await waitUntil(() => isDead(pid));
  });
});
