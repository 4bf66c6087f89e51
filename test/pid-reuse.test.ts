// A number that was ours and was given to a stranger is never signalled. pid_namespaces(7), ns_last_pid since Linux 3.3.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyNoGroupPidfd } from './support/kernel.js';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { namespaced, strangers, whyNot } from './support/strangers.js';

const reason = whyNot();
if (reason) process.stderr.write(`pid-reuse: skipped, ${reason}\n`);
const older = whyNoGroupPidfd();
if (older) process.stderr.write(`pid-reuse, a member with the number of its leader: skipped, ${older}\n`);

const mechanisms = [
  { name: 'the default mechanism', disable: '' },
  { name: 'the leader kept as a zombie', disable: 'pidfd_group' },
  { name: 'no pidfd at all', disable: 'pidfd' },
];

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

  // Before that kernel a guardian reaps the leader, and signals whoever of its tree is in a group of that number.
  it.skipIf(older)(
    'G5 a member of the tree that has the number of its dead leader: the ladder is gentle with it',
    async () => {
      const cases = await run(
        `
      const path = folder + '/log', gate = folder + '/gate';
      nodeProcess.execFileSync('mkfifo', [gate]);
      const later = 'read -r go < "$2"; exec "$3" "$1" group "$4"';
      const script = 'setsid sh -c "$1" sh $$ "$2" "$3" "$4" & exit 0';
      const group = await spawn('sh', ['-c', script, 'sh', later, gate, paths.build + 'pidreuse', path], {
        stdio: 'ignore', containment: 'tree', teardown: [{ signal: 'SIGTERM', graceMs: 500 }] });
      await group.exited;
      freed(group.pid);
      nodeFs.writeFileSync(gate, 'go\\n');
      await oracle.waitUntil(() => {
        const found = oracle.stat(group.pid);
        return found?.comm === 'pidreuse' && found.pgid === group.pid;
      });
      await outcome(() => group.signal('SIGUSR1'));
      const members = await group.members();
      const report = await group.stop();
      const heard = readFileSync(path, 'utf8').split('\\n').filter(Boolean);
      results.push({ how: members.some(({ pid }) => pid === group.pid) ? 'member' : '', mode: '', act: 'stop', outcome: report.empty, heard });
      console.log(JSON.stringify(results));`,
        '',
      );
      expect(cases).toMatchObject([{ how: 'member', outcome: true }]);
      expect(cases[0]?.heard, 'SIGTERM').toContain('15');
      expect(cases[0]?.heard, 'SIGUSR1 was for the leader’s group, which is gone').not.toContain('10');
    },
  );

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
