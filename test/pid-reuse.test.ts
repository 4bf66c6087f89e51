// A number that was ours and was given to a stranger is never signalled. pid_namespaces(7), ns_last_pid since Linux 3.3.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

// The shell is the namespace's init: it reaps what the subject leaves to it.
const namespaced = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', '"$@"; exit $?', 'sh'];

function whyNot(): string {
  const [file = '', ...args] = [...namespaced, 'sh', '-c', 'echo 100 > /proc/sys/kernel/ns_last_pid'];
  const probe = spawnSync(file, args);
  return probe.status === 0 ? '' : `no PID namespace with ns_last_pid here: ${probe.error ?? probe.stderr}`;
}

const reason = whyNot();
if (reason) process.stderr.write(`pid-reuse: skipped, ${reason}\n`);

const mechanisms = [
  { name: 'the default mechanism', disable: '' },
  { name: 'the leader kept as a zombie', disable: 'pidfd_group' },
  { name: 'no pidfd at all', disable: 'pidfd' },
];

/** Helpers of every subject: strangers are made synchronously, so that the engine gets no turn of the event loop. */
const strangers = `
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
const folder = process.argv.at(-1);
const MODES = ['pid', 'group', 'orphan-group'];
const SENTINEL = 64; // delivered after every other pending signal
let count = 0;
const results = [];

function spin(condition, what) {
  const end = performance.now() + 10_000;
  while (!condition()) if (performance.now() > end) throw new Error('never: ' + what);
}
function freed(pid) {
  spin(() => oracle.stat(pid) === null, 'reaped ' + pid);
}
function stranger(pid, mode) {
  const log = folder + '/' + ++count;
  nodeProcess.execFileSync(paths.build + 'pidreuse', [String(pid), mode, log], { stdio: 'inherit' });
  const lines = () => readFileSync(log, 'utf8').split('\\n').filter(Boolean);
  return {
    /** Everything the stranger received, up to the control signal that a numeric kill sends it. */
    async heard() {
      try {
        process.kill(mode === 'pid' ? pid : -pid, SENTINEL);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error; // somebody has killed it: the log says so
      }
      await oracle.waitUntil(() => lines().some((line) => line === String(SENTINEL) || line.startsWith('killed')));
      return lines();
    },
    async end() {
      if (lines().some((line) => line.startsWith('killed'))) return;
      process.kill(mode === 'orphan-group' ? -pid : pid, 'SIGKILL');
      await oracle.waitUntil(() => lines().some((line) => line.startsWith('killed')));
    },
  };
}
/** A group that is no child of ours: init reaps its leader as soon as it is dead. */
function foreignGroup(verb = 'sleep') {
  const path = folder + '/ready' + ++count;
  const fd = openSync(path, 'w');
  nodeProcess.execFileSync('setsid', ['-f', member, verb], { stdio: ['ignore', fd, 'inherit'] });
  closeSync(fd);
  spin(() => readFileSync(path, 'utf8').includes('\\n'), 'ready');
  const { pid, members } = JSON.parse(readFileSync(path, 'utf8').slice(6));
  return { pid, last: members[0] ?? pid };
}
const acts = {
  signal: (group) => group.signal('SIGTERM'),
  kill: async (group) => (await group.kill()).empty,
  stop: async (group) => (await group.stop()).empty,
  dispose: async (group) => String(await group[Symbol.asyncDispose]()),
};
async function outcome(run) {
  try {
    return await run();
  } catch (error) {
    return error.code;
  }
}
`;

interface Case {
  how: string;
  mode: string;
  act: string;
  outcome: unknown;
  heard: string[];
}

describe.skipIf(reason !== '')('G5 a recycled number is never signalled', () => {
  const scenario = useScenario();

  function run(source: string, disable: string): Promise<Case[]> {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-reuse-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    return runNodeJson<Case[]>(
      { source: strangers + source },
      {
        args: [folder],
        via: namespaced,
        env: { ...scenario.env, ...(disable ? { PROCGROUP_TEST_DISABLE: disable } : {}) },
      },
    );
  }

  for (const { name, disable } of mechanisms) {
    it(`G5 a spawned group that is gone, ${name}`, async () => {
      const cases = await run(
        `
        for (const isolation of ['group', 'session']) for (const how of ['told', 'not told yet'])
          for (const mode of MODES) for (const act of Object.keys(acts)) {
            const group = await spawn(member, ['exit', '0'], { stdio: 'ignore', isolation });
            if (how === 'told') await group.gone;
            freed(group.pid);
            const other = stranger(group.pid, mode);
            const result = await outcome(() => acts[act](group));
            results.push({ how: isolation + ', ' + how, mode, act, outcome: result, heard: await other.heard() });
            await other.end();
          }
        console.log(JSON.stringify(results));`,
        disable,
      );
      expect(cases).toHaveLength(48);
      expect(
        cases.filter(({ heard }) => heard.join() !== '64'),
        'who hears more than the control signal',
      ).toEqual([]);
      for (const one of cases) {
        if (one.act === 'signal') expect(one.outcome, JSON.stringify(one)).toBe('gone');
        if (one.act === 'kill' || one.act === 'stop') expect(one.outcome, JSON.stringify(one)).toBe(true);
      }
    });

    it(`G5 an attached group that is gone, ${name}`, async () => {
      const cases = await run(
        `
        for (const verb of ['sleep', 'leader-exits-first']) for (const told of [true, false])
        for (const mode of MODES) for (const act of Object.keys(acts)) {
          const { pid, last } = foreignGroup(verb);
          if (last !== pid) freed(pid);
          const how = verb + (told ? ', told' : ', not told yet');
          const group = await attach(pid);
          process.kill(last, 'SIGKILL');
          if (told) await group.gone;
          freed(last);
          const other = stranger(pid, mode);
          const result = await outcome(() => acts[act](group));
          results.push({ how, mode, act, outcome: result, heard: await other.heard() });
          await other.end();
        }
        console.log(JSON.stringify(results));`,
        disable,
      );
      expect(cases).toHaveLength(48);
      expect(
        cases.filter(({ heard }) => heard.join() !== '64'),
        'who hears more than the control signal',
      ).toEqual([]);
    });
  }

  it('G5 a Pidfd whose process is gone', async () => {
    const cases = await run(
      `
      const posix = await import(paths.dist + 'posix.js');
      for (const mode of MODES) {
        const { pid } = foreignGroup();
        const fd = posix.pidfdOpen(pid);
        process.kill(pid, 'SIGKILL');
        freed(pid);
        const other = stranger(pid, mode);
        const result = await outcome(() => fd.send('SIGTERM'));
        await fd.wait();
        results.push({ how: 'pidfd', mode, act: 'send', outcome: result, heard: await other.heard() });
        fd.close();
        await other.end();
      }
      console.log(JSON.stringify(results));`,
      '',
    );
    expect(cases).toHaveLength(3);
    for (const one of cases) expect(one).toMatchObject({ heard: ['64'], outcome: 'ESRCH' });
  });

  it('G5 control: a numeric kill does hit the stranger', async () => {
    const cases = await run(
      `
      for (const mode of MODES) {
        const group = await spawn(member, ['exit', '0'], { stdio: 'ignore' });
        await group.gone;
        const other = stranger(group.pid, mode);
        process.kill(mode === 'pid' ? group.pid : -group.pgid, 'SIGTERM');
        results.push({ how: 'numeric', mode, act: 'kill', outcome: null, heard: await other.heard() });
        await other.end();
      }
      console.log(JSON.stringify(results));`,
      '',
    );
    expect(cases.map(({ heard }) => heard)).toEqual([
      ['15', '64'],
      ['15', '64'],
      ['15', '64'],
    ]);
  });
});
