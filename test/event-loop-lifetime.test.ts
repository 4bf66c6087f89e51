// What keeps a Node process running: a ref'ed handle, a pending spawn() or stop(); nothing joins for ever.
import { describe, expect, it } from 'vitest';
import { isDead } from './support/oracle.js';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

/** At the moment when the event loop ran dry: was the leader dead? 'exit' follows, and with it the teardown. */
const watch = `
  let settled = false;
  function watch(pid) {
    process.once('beforeExit', () => console.log(JSON.stringify({ dead: oracle.isDead(pid), settled })));
  }
  const stdio = 'ignore';
`;

/** A leader that ends by itself after some of its own processor time, later than a loop that is not held runs dry. */
const BUSY = `member, ['use', '300', '1'], { stdio }`;
const STUBBORN = `member, ['ignore-term'],
  { stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 300 }], exitGraceMs: 50 }`;

describe('S3 what keeps the event loop alive', () => {
  const scenario = useScenario();

  async function end(source: string): Promise<{ code: number | null; said: Record<string, unknown> }> {
    const run = await runNode({ source: watch + source }, { env: scenario.env, timeoutMs: 30_000 });
    expect(run.signal, run.stderr).toBeNull();
    return { code: run.code, said: run.stdout ? JSON.parse(run.stdout) : {} };
  }

  it("S3 a handle is ref'ed by default", async () => {
    expect(await end(`watch((await spawn(${BUSY})).pid);`)).toEqual({ code: 0, said: { dead: true, settled: false } });
  });

  it("S3 an unref'ed handle keeps nothing alive, and is torn down at the exit", async () => {
    const { code, said } = await end(`
      const group = await spawn(${BUSY.replace('300', '60000')});
      watch(group.pid);
      group.unref();`);
    expect({ code, said }).toEqual({ code: 0, said: { dead: false, settled: false } });
    expect(scenario.alive()).toEqual([]);
  });

  it('S3 ref() after unref() keeps it alive again', async () => {
    expect(await end(`const group = await spawn(${BUSY}); watch(group.pid); group.unref(); group.ref();`)).toEqual({
      code: 0,
      said: { dead: true, settled: false },
    });
  });

  it('S3 unref() and ref() may be called any number of times and after the end', async () => {
    const { code } = await end(`
      const group = await spawn(${BUSY});
      group.unref(); group.unref(); group.ref(); group.ref(); group.unref(); group.ref();
      watch(group.pid);
      await group.gone;
      group.ref(); group.unref(); group.ref();`);
    expect(code).toBe(0);
  });

  it('S3 a pending spawn() keeps it alive', async () => {
    const run = await runNode(
      {
        source: `
          spawn(member, ['use', '300', '1'], { stdio: 'ignore' }).then((group) => {
            group.unref();
            console.log('settled');
          });`,
      },
      { env: scenario.env },
    );
    expect([run.code, run.stdout]).toEqual([0, 'settled\n']);
  });

  it('S3 a pending spawn() that fails keeps it alive', async () => {
    const run = await runNode({ source: `spawn('/no/such/file').catch((error) => console.log(error.code));` });
    expect([run.code, run.stdout]).toEqual([0, 'ENOENT\n']);
  });

  it('S3 a pending stop() keeps it alive even after unref()', async () => {
    const { code, said } = await end(`
      const group = await spawn(${STUBBORN});
      await readReady(group.stdout);
      group.stdout.destroy();
      watch(group.pid);
      group.unref();
      group.stop().then((report) => { settled = report.empty; });
      group.unref();`);
    expect({ code, said }).toEqual({ code: 0, said: { dead: true, settled: true } });
  });

  for (const what of ['exited', 'closed', 'gone']) {
    it(`S3 ${what} of an unref'ed handle awaited at top level ends the process with 13`, async () => {
      const run = await runNode(
        {
          source: `
            const group = await spawn(member, ['sleep'], { stdio: 'ignore' });
            group.unref();
            console.log(group.pid);
            await group.${what};
            console.log('settled');`,
        },
        { env: scenario.env, timeoutMs: 30_000 },
      );
      expect([run.code, run.signal]).toEqual([13, null]);
      expect(run.stdout).toMatch(/^\d+\n$/);
      expect(isDead(Number(run.stdout)), 'torn down at the exit').toBe(true);
    });

    it(`S3 ${what} of a ref'ed handle awaited at top level settles`, async () => {
      const { code, said } = await end(`
        const group = await spawn(${BUSY});
        watch(group.pid);
        await group.${what};
        settled = true;`);
      expect({ code, said }).toEqual({ code: 0, said: { dead: true, settled: true } });
    });
  }

  it('S3 an attached group follows ref and unref in the same way', async () => {
    const attached = `
      const child = nodeProcess.spawn(member, ['use', '300', '1'], { stdio, detached: true });
      child.unref();
      const group = await attach(child.pid);
      watch(child.pid);`;
    expect(await end(attached)).toMatchObject({ code: 0, said: { dead: true } });
    scenario.leaves(); // an attached group is not torn down at the exit
    expect(await end(`${attached.replace('300', '60000')} group.unref();`)).toMatchObject({
      code: 0,
      said: { dead: false },
    });
  });

  it('S3 once all groups are gone nothing holds the loop', async () => {
    const run = await runNode(
      {
        source: `
          const groups = await Promise.all(Array.from({ length: 20 }, () => spawn(member, ['sleep'], { stdio: 'ignore' })));
          const reports = await Promise.all(groups.map((group) => group.kill()));
          console.log(reports.every((report) => report.empty));`,
      },
      { env: scenario.env, timeoutMs: 20_000 },
    );
    expect([run.code, run.stdout]).toEqual([0, 'true\n']);
  });
});
