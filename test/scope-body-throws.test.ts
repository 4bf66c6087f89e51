// S1: the body of a scope throws. The error it threw is the one that is seen, the helpers are gone, in bounded time.
import { describe, expect, it } from 'vitest';
import { ProcessScope, type WithCleanupErrors } from '../dist/scope.js';
import { waitUntil } from './support/oracle.js';
import { dist } from './support/paths.mjs';
import { runNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { rejection, startIn, TERM } from './support/start-in.js';
import { holdByTracer } from './support/tracer.js';

const GRACE_MS = 400;
const scenario = useScenario();
const teardown = TERM(GRACE_MS);

describe.each(['group', 'tree'] as const)('containment %s', (containment) => {
  it('S1: run() rethrows the error of its body once the helpers are gone, within the grace', async () => {
    const lost = new Error('the database went away');
    let began = 0;
    const error = await rejection(
      ProcessScope.run(
        async (scope) => {
          await startIn(scope, scenario, ['sleep'], { containment });
          await startIn(scope, scenario, ['grandchild-ignores-term'], { containment });
          expect(scenario.alive().length, 'control: they live while the body runs').toBeGreaterThan(2);
          began = performance.now();
          throw lost;
        },
        { teardown },
      ),
    );
    expect(performance.now() - began).toBeLessThan(GRACE_MS + 1_000);
    expect(scenario.alive()).toEqual([]);
    expect(error).toBe(lost);
    expect((error as WithCleanupErrors).cleanupErrors, 'nothing went wrong in the clean-up').toBeUndefined();
  });

  it('S1: a block with await using: the same', async () => {
    let ended: ProcessScope | undefined;
    const block = async () => {
      await using scope = new ProcessScope({ teardown });
      ended = scope;
      await startIn(scope, scenario, ['grandchild-ignores-term'], { containment });
      throw new Error('on purpose');
    };
    // The body's own error, not a SuppressedError.
    expect(await rejection(block())).toMatchObject({ message: 'on purpose', name: 'Error' });
    expect(scenario.alive()).toEqual([]);
    expect(ended?.report).toMatchObject({ empty: true, errors: [], groups: [{ report: { empty: true } }] });
  });
});

it('S1: clean-up errors are attached to the error of the body, which stays the one thrown', async () => {
  const lost = new TypeError('the database went away');
  const warnings: Error[] = [];
  const listen = (warning: Error) => warnings.push(warning);
  process.on('warning', listen);
  scenario.defer(() => process.off('warning', listen));
  let held = 0;
  const error = await rejection(
    ProcessScope.run(
      async (scope) => {
        await startIn(scope, scenario, ['sleep'], { containment: 'group' });
        const { group } = await startIn(scope, scenario, ['sleep'], { containment: 'group' });
        held = group.pid;
        await holdByTracer(scenario, held);
        throw lost;
      },
      { teardown: TERM(100), killWaitMs: 300 },
    ),
  );
  expect(error).toBe(lost);
  const { cleanupErrors = [] } = error as WithCleanupErrors;
  expect(cleanupErrors).toHaveLength(1);
  expect(cleanupErrors[0]).toMatchObject({
    name: 'ProcessGroupError',
    code: 'ERR_SURVIVORS',
    cause: { empty: false, survivors: [{ pid: held }] },
  });
  await waitUntil(() => warnings.length > 0, { what: 'the warning' });
  expect(warnings).toMatchObject([{ name: 'ProcessGroupWarning', code: 'PROCGROUP_SURVIVORS' }]);
});

it.each([
  ['a string', () => 'the database went away'],
  ['undefined', () => undefined],
  ['a frozen error', () => Object.freeze(new Error('frozen'))],
])('S1: a body that throws %s: that is what is thrown, whatever the clean-up finds', async (_, thrown) => {
  const value = thrown();
  const error = await rejection(
    ProcessScope.run(
      async (scope) => {
        const { group } = await startIn(scope, scenario, ['sleep'], { containment: 'group' });
        await holdByTracer(scenario, group.pid);
        throw value;
      },
      { teardown: TERM(50), killWaitMs: 200 },
    ),
  );
  expect(error).toBe(value);
});

it('S1: nested scopes add up their clean-up errors on the one error', async () => {
  const lost = new Error('on purpose');
  const options = { teardown: TERM(50), killWaitMs: 200 };
  const hold = async (scope: ProcessScope) => {
    const { group } = await startIn(scope, scenario, ['sleep'], { containment: 'group' });
    await holdByTracer(scenario, group.pid);
    return group.pid;
  };
  const pids: number[] = [];
  const error = await rejection(
    ProcessScope.run(async (outer) => {
      pids.push(await hold(outer));
      await ProcessScope.run(async (inner) => {
        pids.unshift(await hold(inner));
        throw lost;
      }, options);
    }, options),
  );
  expect(error).toBe(lost);
  expect((error as WithCleanupErrors).cleanupErrors).toMatchObject(
    pids.map((pid) => ({ code: 'ERR_SURVIVORS', cause: { survivors: [{ pid }] } })),
  );
});

describe('S1, S7: a process whose body throws', () => {
  const subject = (main: string) => ({
    source: `
      const { ProcessScope } = await import(${JSON.stringify(`${dist}scope.js`)});
      const teardown = [{ signal: 'SIGTERM', graceMs: ${GRACE_MS} }];
      const options = { stdio: ['ignore', 'pipe', 'inherit'], containment: 'group', teardown };
      async function start(spawn) {
        for (const verb of ['grandchild-ignores-term', 'ignore-term']) {
          await readReady((await spawn(member, [verb], options)).stdout);
        }
        process.stdout.write('throwing ' + Date.now() + '\\n');
        throw new Error('the database went away');
      }
      ${main}`,
  });
  const ms = (stdout: string) => Date.now() - Number(/throwing (\d+)/.exec(stdout)?.[1]);

  it('exits by itself, within grace and a second, with its own code, and the error is what is printed', async () => {
    const run = await runNode(subject('await ProcessScope.run((scope) => start(scope.spawn.bind(scope)));'), {
      env: scenario.env,
    });
    expect(ms(run.stdout)).toBeLessThan(GRACE_MS + 1_000);
    expect([run.code, run.signal]).toEqual([1, null]);
    expect(run.stderr).toContain('Error: the database went away');
    expect(scenario.alive()).toEqual([]);
  });

  it('an error that is caught above, and an exit code that was set, stay as they are', async () => {
    const main = `
      ProcessScope.run((scope) => start(scope.spawn.bind(scope))).catch((error) => {
        console.error(error.message);
        process.exitCode = 70;
      });`;
    const run = await runNode(subject(main), { env: scenario.env });
    expect(ms(run.stdout)).toBeLessThan(GRACE_MS + 1_000);
    expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 70, stderr: 'the database went away\n' });
    expect(scenario.alive()).toEqual([]);
  });

  it('control: without a scope it never exits, and its helpers live', async () => {
    scenario.leaves();
    const main = 'start(spawn).catch((error) => { console.error(error.message); process.exitCode = 70; });';
    await expect(runNode(subject(main), { env: scenario.env, timeoutMs: GRACE_MS + 2_500 })).rejects.toThrow(/hung/);
    expect(scenario.alive().length).toBeGreaterThan(0);
  });
});
