// A subscriber of node:diagnostics_channel that throws is the program's own uncaught exception, and none of the engine's business.
import { describe, expect, it } from 'vitest';
import { type NodeRun, runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const TRACING = ['spawn', 'teardown', 'adopt'];
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'];
const PLAIN = ['exit', 'signal', 'lease', 'scope'];

describe('diagnostics: a subscriber that throws', () => {
  const source = (handler: string) => `
    import { channel } from 'node:diagnostics_channel';
    import { AsyncLocalStorage } from 'node:async_hooks';
    let thrown = 0;
    ${handler}
    const fail = (_, name) => { throw new Error('thrown on purpose by ' + name); };
    for (const name of ${JSON.stringify(TRACING)}) {
      for (const event of ${JSON.stringify(EVENTS)}) channel('tracing:procgroup:' + name + ':' + event).subscribe(fail);
      channel('tracing:procgroup:' + name + ':start').bindStore(new AsyncLocalStorage(), fail);
    }
    for (const name of ${JSON.stringify(PLAIN)}) channel('procgroup:' + name).subscribe(fail);
    const options = { stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 50 }], exitGraceMs: 100 };
    const results = [];
    for (const containment of ['group', 'tree']) {
      const refused = await spawn('/nowhere/at-all', { containment }).catch((error) => error.code);
      const group = await spawn(member, ['grandchild-ignores-term'], { ...options, containment });
      await readReady(group.stdout);
      const target = group.signal('SIGCONT');
      const adopted = containment === 'group' ? await attach(group.pgid, { teardown: [] }) : group;
      const { empty } = await adopted.stop();
      const { code, signal } = await group.exited;
      await group.gone;
      results.push([refused, target, empty, code, signal]);
    }
    console.log(JSON.stringify({ thrown, results }));
  `;
  const run = (handler: string): Promise<NodeRun> => runNode({ source: source(handler) }, { env: scenario.env });

  it('diagnostics: does no harm to the groups where the program survives it', async () => {
    const { code, stdout, stderr } = await run("process.on('uncaughtException', () => { thrown++; });");
    expect(code, stderr).toBe(0);
    const { thrown, results } = JSON.parse(stdout) as { thrown: number; results: unknown[][] };
    expect(thrown).toBeGreaterThan(20);
    expect(results[0]).toEqual(['ENOENT', 'group', true, null, 'SIGKILL']);
    expect(results[1]?.slice(0, 3)).toEqual(['ENOENT', 'group', true]);
    expect(scenario.alive()).toEqual([]);
  });

  it('diagnostics: is an uncaught exception, and what is held goes with the process', async () => {
    const { code, stderr } = await run("await spawn(member, ['sleep'], { stdio: 'ignore' });");
    expect(code).toBe(1);
    expect(stderr).toContain('thrown on purpose by');
    expect(scenario.alive()).toEqual([]);
  });
});
