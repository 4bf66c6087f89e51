// What killpg and attach refuse, each refusal told apart, and that no refused call reached our own group.
import { describe, expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

/** Above PID_MAX_LIMIT: no group has this number. */
const ABSENT = 4_194_305;

const refusals: [name: string, pgid: string, codes: string[]][] = [
  ['the group of number 0, which means the caller', '0', ['ERR_PGID_ZERO']],
  ['init', '1', ['ERR_PGID_INIT']],
  ['-1, which means everybody', '-1', ['ERR_OUT_OF_RANGE']],
  ['a negative number', '-process.pid', ['ERR_OUT_OF_RANGE']],
  ['the own group', 'posix.getpgrp()', ['ERR_OWN_GROUP']],
  ['a fraction', '1234.5', ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']],
  ['NaN', 'NaN', ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']],
  ['a number that a pid_t cannot hold', '2 ** 32 + process.pid', ['ERR_OUT_OF_RANGE']],
  ['a string', '"1234"', ['ERR_INVALID_ARG_TYPE']],
  ['undefined', 'undefined', ['ERR_INVALID_ARG_TYPE']],
  ['null', 'null', ['ERR_INVALID_ARG_TYPE']],
  ['a bigint', '1234n', ['ERR_INVALID_ARG_TYPE']],
  ['a group that is not there', String(ABSENT), ['ESRCH']],
];

interface Outcome {
  name: string;
  code: string | null;
  own: boolean;
  syscall: string | null;
  errno: number | null;
}

interface Answer {
  outcomes: Outcome[];
  heard: number;
  control: { self: number; sibling: string };
}

/** The subject leads a group of its own with a sibling in it; both count the SIGTERMs that arrive. */
function subject(call: string): string {
  return `
    import { once } from 'node:events';
    const posix = await import(paths.dist + 'posix.js');
    let self = 0;
    process.on('SIGTERM', () => { self++; });
    const sibling = nodeProcess.spawn(member, ['report-signals'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await readReady(sibling.stdout);
    let heard = '';
    sibling.stdout.setEncoding('latin1').on('data', (text) => { heard += text; }).resume();
    const cases = [${refusals.map(([name, pgid]) => `[${JSON.stringify(name)}, ${pgid}]`).join(', ')}];
    const outcomes = [];
    for (const [name, pgid] of cases) {
      try {
        await (${call});
        outcomes.push({ name, code: null });
      } catch (error) {
        outcomes.push({
          name,
          code: error.code,
          own: error instanceof ProcessGroupError,
          syscall: error.syscall ?? null,
          errno: error.errno ?? null,
        });
      }
    }
    // The control: a group signal does reach both, and nothing came before it.
    const before = self;
    process.kill(-posix.getpgrp(), 'SIGTERM');
    await oracle.waitUntil(() => self > before && heard.includes('\\n'));
    process.kill(sibling.pid, 'SIGUSR1');
    await once(sibling, 'close');
    console.log(JSON.stringify({ outcomes, heard: before, control: { self, sibling: heard } }));
  `;
}

describe('G6 refusals of group signals', () => {
  const scenario = useScenario();

  const calls: [name: string, call: string][] = [
    ['killpg', "posix.killpg(pgid, 'SIGTERM')"],
    ['attach', 'attach(pgid).then((group) => group.kill())'],
  ];
  for (const [name, call] of calls) {
    it(`G6 ${name} refuses, and our own group hears nothing`, async () => {
      const answer = await runNodeJson<Answer>(
        { source: subject(call) },
        { env: scenario.env, via: ['setsid', '--wait'] },
      );
      for (const [index, [what, , codes]] of refusals.entries()) {
        const outcome = answer.outcomes[index];
        expect(codes, `${name} of ${what}: ${JSON.stringify(outcome)}`).toContain(outcome?.code);
        expect(outcome?.own, what).toBe(true);
        if (outcome?.code === 'ESRCH') expect(outcome.errno).toBe(-3);
      }
      expect(answer.heard).toBe(0);
      expect(answer.control).toEqual({ self: 1, sibling: 'got 15 1\n' });
    });
  }

  it('G6 an unknown signal is told apart, and signal 0 only asks', async () => {
    const codes = await runNodeJson(
      {
        source: `
          const posix = await import(paths.dist + 'posix.js');
          const code = (run) => { try { run(); return 'done'; } catch (error) { return error.code; } };
          const group = await spawn(member, ['sleep'], { stdio: ['ignore', 'pipe', 'inherit'] });
          await readReady(group.stdout);
          const seen = [
            code(() => posix.killpg(group.pgid, 'SIGFOO')),
            code(() => posix.killpg(group.pgid, 999)),
            code(() => posix.killpg(group.pgid, 0)),
            code(() => group.signal('SIGFOO')),
            oracle.isDead(group.pid),
            code(() => posix.killpg(group.pgid, 'SIGKILL')),
          ];
          await group.gone;
          seen.push(code(() => posix.killpg(group.pgid, 0)), group.signal('SIGTERM'));
          console.log(JSON.stringify(seen));`,
      },
      { env: scenario.env },
    );
    const [name, number, ask, handle, dead, kill, asked, gone] = codes as unknown[];
    expect([name, handle]).toEqual(['ERR_UNKNOWN_SIGNAL', 'ERR_UNKNOWN_SIGNAL']);
    expect(['ERR_UNKNOWN_SIGNAL', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE']).toContain(
      number,
    );
    expect([ask, dead, kill, asked, gone]).toEqual(['done', false, 'done', 'ESRCH', 'gone']);
  });

  it('G6 inherit with containment group would be our own group', async () => {
    const answer = await runNodeJson(
      {
        source: `
          const before = oracle.childrenOf().length;
          let code = 'spawned';
          try {
            await spawn(member, ['sleep'], { isolation: 'inherit', containment: 'group' });
          } catch (error) {
            code = error.code;
          }
          console.log(JSON.stringify({ code, children: oracle.childrenOf().length - before }));`,
      },
      { env: scenario.env },
    );
    expect(answer).toEqual({ code: 'ERR_OWN_GROUP', children: 0 });
  });
});
