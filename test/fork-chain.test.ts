// A chain that forks and exits as fast as it can hides from scans of /proc: empty may not be claimed while it runs, also
// where the zombies of its dead links fill the group because nobody reaps them (a container without an init).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TeardownReport } from '../lib/types.js';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const namespace = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

/** Who inherits the orphaned links: an init that reaps them, or Node itself, which never waits for a stranger. */
const inits: [name: string, via: readonly string[], rounds: number, repetitions: number][] = [
  // bash: dash as init was once left waiting for ever, with none of its children left.
  ['an init that reaps', [...namespace, 'bash', '-c', '"$@"; exit $?', 'bash', 'setsid', '--wait'], scaled(2), 2],
  // One round a namespace: the zombies hold thousands of pids, until the namespace ends.
  ['nobody who reaps', [...namespace, 'setsid', '--wait'], 1, scaled(4)],
];

const probe = spawnSync(namespace[0] ?? '', [...namespace.slice(1), 'true']);
const reason = probe.status === 0 ? '' : `no PID namespace here: ${probe.error ?? probe.stderr}`;
if (reason) process.stderr.write(`fork-chain: skipped, ${reason}\n`);

const disabled = process.env.PROCGROUP_TEST_DISABLE ?? '';

interface Round {
  how: string;
  report: TeardownReport;
  forks: number;
}

/** In a namespace of its own, a pid that is given while the subject itself runs no code but this goes to the chain. */
const tools = `
  import { readFileSync } from 'node:fs';
  function forks() {
    const last = () => Number(readFileSync('/proc/sys/kernel/ns_last_pid', 'latin1'));
    const first = last();
    for (const end = performance.now() + 50; performance.now() < end; ) last();
    return last() - first;
  }
  const teardown = [{ signal: 'SIGTERM', graceMs: 600 }];
  const killWaitMs = 5000;
  const stdio = ['ignore', 'pipe', 'inherit'];
  async function started(kind) {
    if (kind === 'spawn') {
      const group = await spawn(member, ['fork-chain'], { stdio, teardown, killWaitMs });
      await readReady(group.stdout);
      return group;
    }
    const child = nodeProcess.spawn(member, ['fork-chain'], { stdio, detached: true });
    await readReady(child.stdout);
    return attach(child.pid, { teardown, killWaitMs });
  }
  function end(pgid) {
    try { process.kill(-pgid, 'SIGKILL'); } catch {}
  }
  const rounds = [];
  const total = Number(process.argv.at(-1));
`;

describe.skipIf(reason !== '')('a fork chain is never called empty while it runs', () => {
  const scenario = useScenario();

  for (const [name, via, rounds, repetitions] of inits) {
    /** Each repetition has a namespace of its own; two at a time, since a round mostly waits for its grace. */
    async function run(source: string, kind = ''): Promise<Round[]> {
      const seen: Round[] = [];
      let next = 0;
      const lane = async () => {
        while (next++ < repetitions) {
          const answer = await runNodeJson<Round[]>(
            { source: `${tools} ${source} console.log(JSON.stringify(rounds)); process.exit(0);` },
            { args: [kind, String(rounds)], env: scenario.env, via },
          );
          seen.push(...answer);
        }
      };
      await Promise.all([lane(), lane()]);
      return seen;
    }

    it(`ENGINE 10: control: the chain outlives its leader, ${name}`, async () => {
      const [only] = await run(
        `const group = await started('spawn');
        process.kill(group.pid, 'SIGKILL');
        await group.exited;
        let seen = 0;
        await oracle.waitUntil(() => (seen = forks()) > 0);
        rounds.push({ how: 'control', report: null, forks: seen });
        end(group.pgid);
        await oracle.waitUntil(() => forks() === 0);`,
      );
      expect(only?.forks).toBeGreaterThan(0);
    });

    for (const kind of ['spawn', 'attach']) {
      it(`ENGINE 10: stop() after ${kind}(), ${name}`, async () => {
        const seen = await run(
          `for (let i = 0; i < total; i++) {
          const how = process.argv.at(-2);
          const group = await started(how);
          const report = await group.stop();
          rounds.push({ how, report, forks: forks() });
          end(group.pgid);
        }`,
          kind,
        );
        for (const { how, report, forks } of seen) {
          const told = `${how}: ${JSON.stringify(report)}`;
          if (report.empty) expect(forks, told).toBe(0);
          // An attached group that is signalled member by member may outrun its signals: then it is a survivor, and said so.
          else expect(how, told).toBe('attach');
        }
      });
    }

    it(`ENGINE 10: gone does not settle while the chain of a dead leader runs, ${name}`, async () => {
      const seen = await run(
        `for (let i = 0; i < total; i++) {
          const group = await started('spawn');
          process.kill(group.pid, 'SIGKILL');
          await group.exited;
          let early = null;
          group.gone.then((report) => { early = report; });
          for (let turn = 0; turn < 6 && early === null; turn++) {
            forks();
            await new Promise(setImmediate);
          }
          if (early) rounds.push({ how: 'gone by itself', report: early, forks: forks() });
          const report = await group.stop();
          rounds.push({ how: 'stop', report, forks: forks() });
          end(group.pgid);
        }`,
      );
      for (const { how, report, forks } of seen) {
        expect(report.empty, how).toBe(true);
        expect(forks, `${how}: ${JSON.stringify(report)}`).toBe(0);
      }
    });
  }

  // Where the number of a session tells nothing its end rests on scans alone, so its evidence shows what they were taken for.
  // lxcfs lays a file of its own over /proc/loadavg, in which the last pid stands still.
  const overlay = 'mount --bind "$0" /proc/loadavg';
  for (const [what, mount, disable, evidence] of [
    ["the kernel's own /proc/loadavg stood still: nobody forked", ':', 'number_free', 'census'],
    ["another's stood still: it says nothing", overlay, 'number_free', 'unverified'],
    ['the number of the session is free: nothing else is asked', overlay, '', 'esrch'],
  ] as const) {
    it.skipIf(evidence === 'esrch' && disabled.includes('number_free'))(`ENGINE 10: ${what}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'procgroup-loadavg-'));
      scenario.defer(() => rmSync(folder, { recursive: true }));
      writeFileSync(join(folder, 'loadavg'), '0.00 0.00 0.00 1/1 2\n');
      const source = `
        const group = await spawn(member, ['leader-exits-first'], { isolation: 'session', containment: 'group', stdio });
        const { members } = await readReady(group.stdout);
        await group.exited;
        for (const pid of members) process.kill(pid, 'SIGKILL');
        const { empty, evidence } = await group.gone;
        console.log(JSON.stringify({ empty, evidence }));
        process.exit(0);`;
      const script = `${mount} || exit 70; "$@"; exit $?`;
      const via = [...namespace, 'bash', '-c', script, join(folder, 'loadavg'), 'setsid', '--wait'];
      const env = { ...scenario.env, PROCGROUP_TEST_DISABLE: `${disabled},${disable}` };
      const seen = await runNodeJson({ source: tools + source }, { args: ['0'], env, via });
      expect(seen).toEqual({ empty: true, evidence });
    });
  }

  // Pids are given out in rising order, and a scan follows them: it misses a chain whose numbers begin anew. The subject
  // makes them do so all the time. proc(5), ns_last_pid.
  it('ENGINE 10: gone does not settle before the last link, though a /proc/loadavg stands still', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-loadavg-'));
    scenario.defer(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'loadavg'), '0.00 0.00 0.00 1/1 2\n');
    const source = `
      const folder = process.argv.at(-2);
      const links = 1000;
      const last = nodeFs.openSync('/proc/sys/kernel/ns_last_pid', 'w');
      setInterval(() => nodeFs.writeSync(last, '300', 0), 1);
      for (let i = 0; i < total; i++) {
        const counter = folder + '/counter-' + i;
        nodeFs.writeFileSync(counter, Buffer.alloc(4));
        const group = await spawn(member, ['fork-chain', String(links), counter], { containment: 'group', stdio });
        await readReady(group.stdout);
        process.kill(group.pid, 'SIGKILL');
        const { empty, cause } = await group.gone;
        rounds.push({ empty, cause, left: links - nodeFs.readFileSync(counter).readInt32LE() });
        end(group.pgid);
      }
      console.log(JSON.stringify(rounds));
      process.exit(0);`;
    const script = 'mount --bind "$0/loadavg" /proc/loadavg || exit 70; "$@"; exit $?';
    const via = [...namespace, 'bash', '-c', script, folder, 'setsid', '--wait'];
    const rounds = scaled(3);
    const seen = await runNodeJson({ source: tools + source }, { args: [folder, `${rounds}`], env: scenario.env, via });
    // Nobody has signalled the chain: it is over when its last link is.
    expect(seen).toEqual(Array(rounds).fill({ empty: true, cause: null, left: 0 }));
  });
});
