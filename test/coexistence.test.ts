// Other children of the same process keep their exit statuses while thousands of ours are reaped next to them.
import { describe, expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

/** A load of groups that come and go, until stop() says how many were right. */
const load = `
  import { execSync, execFileSync, spawnSync } from 'node:child_process';
  const total = Number(process.argv.at(-1));
  async function lane(count, at) {
    let right = 0;
    for (let i = 0; i < count; i++) {
      const code = (at + i) % 200;
      const group = await spawn(member, ['exit', String(code)], { stdio: 'ignore' });
      const exit = await group.exited;
      const report = await group.gone;
      if (exit.code === code && exit.status === 'exact' && report.empty) right++;
    }
    return right;
  }
  const LANES = 16;
  const ours = Promise.all(Array.from({ length: LANES }, (_, i) => lane(Math.ceil(total / LANES), i * 7)));
`;

describe('coexistence with other children of the process', () => {
  const scenario = useScenario();
  const total = scaled(2000);
  const run = <T>(source: string, env: NodeJS.ProcessEnv = scenario.env) =>
    runNodeJson<T>({ source: load + source }, { args: [String(total)], env, timeoutMs: 120_000 });

  it('coexistence: child_process sees each exact end', async () => {
    const answer = await run<{ wrong: unknown[]; seen: number; right: number }>(`
      let done = false;
      ours.finally(() => { done = true; });
      const wrong = [];
      let seen = 0;
      const one = (args, want) => new Promise((resolve) => {
        const child = nodeProcess.spawn(member, args, { stdio: 'ignore' });
        child.once('close', (code, signal) => {
          seen++;
          if ((signal ?? code) !== want) wrong.push({ args, want, code, signal });
          resolve();
        });
      });
      do {
        await Promise.all([one(['exit', String(seen % 256)], seen % 256), one(['die', '15'], 'SIGTERM'),
          one(['die', '9'], 'SIGKILL'), one(['exit', '0'], 0)]);
      } while (!done);
      console.log(JSON.stringify({ wrong, seen, right: (await ours).reduce((a, b) => a + b) }));`);
    expect(answer.wrong).toEqual([]);
    expect(answer.seen).toBeGreaterThan(4);
    expect(answer.right).toBe(Math.ceil(total / 16) * 16);
  });

  it('coexistence: execSync, execFileSync and spawnSync see each exact end', async () => {
    const answer = await run<{ wrong: unknown[]; seen: number; right: number }>(`
      let done = false;
      ours.finally(() => { done = true; });
      const wrong = [];
      let seen = 0;
      const check = (name, got, want) => { seen++; if (got !== want) wrong.push({ name, got, want }); };
      do {
        const { status, signal } = spawnSync(member, ['exit', String(seen % 256)]);
        check('spawnSync', signal ?? status, seen % 256);
        check('spawnSync signal', spawnSync(member, ['die', '9']).signal, 'SIGKILL');
        try { execSync('exit 7', { stdio: 'ignore' }); check('execSync', 0, 7); } catch (error) { check('execSync', error.status, 7); }
        check('execFileSync', execFileSync(member, ['print', '3', '0']).toString(), 'xxx');
        await new Promise(setImmediate);
      } while (!done);
      console.log(JSON.stringify({ wrong, seen, right: (await ours).reduce((a, b) => a + b) }));`);
    expect(answer.wrong).toEqual([]);
    expect(answer.seen).toBeGreaterThan(4);
    expect(answer.right).toBe(Math.ceil(total / 16) * 16);
  });

  it('coexistence: a child_process child that the same group teardown would meet keeps its status', async () => {
    // A detached child is attached: its own parent, child_process, still gets the status.
    const answer = await run<unknown[]>(`
      const seen = [];
      for (let i = 0; i < 20; i++) {
        const child = nodeProcess.spawn(member, ['sleep'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
        await readReady(child.stdout);
        const closed = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
        const group = await attach(child.pid);
        const report = await group.stop();
        seen.push([report.empty, await closed]);
      }
      await ours;
      console.log(JSON.stringify(seen));`);
    expect(answer).toEqual(Array(20).fill([true, 'SIGTERM']));
  });

  it('coexistence: nothing is left of either kind', async () => {
    const answer = await run(`
      const before = oracle.openFds().length;
      await Promise.all(Array.from({ length: 20 }, () => new Promise((resolve) => {
        nodeProcess.spawn(member, ['exit', '0'], { stdio: 'ignore' }).once('close', resolve);
      })));
      await ours;
      console.log(JSON.stringify({ zombies: oracle.zombieChildrenOf().length, children: oracle.childrenOf().length }));`);
    expect(answer).toEqual({ zombies: 0, children: 0 });
  });
});
