// A configured privileged killer reaches members that answer EPERM; when it fails, hangs or meets a pid that vanished, the
// ladder goes on. The killer is a setuid copy of a small program, in a folder of the test's own.
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { TeardownReport } from '../lib/types.js';
import { isDead, waitUntil } from './support/oracle.js';
import { build, dist, member, root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';
import { startMixed, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const folder = mkdtempSync(join(tmpdir(), 'procgroup-killer-'));
const killer = join(folder, 'killer');

function install(): string {
  const reason = whyNoMixedUids();
  if (reason) return reason;
  chmodSync(folder, 0o777);
  copyFileSync(`${build}mixeduid-kill`, killer);
  chownSync(killer, 0, 0);
  chmodSync(killer, 0o4755);
  // Signal 0 to a process of root: refused unless the setuid bit counts here.
  const [file = '', ...args] = [
    ...unprivileged,
    killer,
    'work',
    join(folder, 'probe'),
    '-s',
    '0',
    '--',
    `${process.pid}`,
  ];
  return spawnSync(file, args).status === 0 ? '' : 'setuid programs are inert here (nosuid or no_new_privs)';
}

const reason = install();
if (reason) process.stderr.write(`privileged-killer: skipped, ${reason}\n`);

const scenario = useScenario();

describe.skipIf(reason !== '')('G7 a privileged killer', () => {
  let log = '';
  let runs = 0;
  beforeEach(() => {
    log = join(folder, `log-${runs++}`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  interface Answer {
    report: TeardownReport;
    joiner: ChildProcess;
    pid: number;
    leader: number;
    ms: number;
  }

  async function joinAsRoot(pgid: number) {
    const { child: joiner, said } = await startMixed(['join', String(pgid)], scenario.env);
    scenario.defer(async () => {
      joiner.stdin?.end();
      if (joiner.exitCode === null && joiner.signalCode === null) await once(joiner, 'close');
    });
    return { joiner, said };
  }

  /** Spawns a group without privilege, puts a member of root into it, and stops it. */
  async function stopWith(command: readonly string[], timeoutMs = 400, killWaitMs = 300): Promise<Answer> {
    const source = `
      const group = await spawn(member, ['sleep'], {
        containment: 'group',
        stdio: ['ignore', 'pipe', 'inherit'],
        teardown: [{ signal: 'SIGTERM', graceMs: 300 }],
        killWaitMs: ${killWaitMs},
        privilegedKiller: { command: ${JSON.stringify(command)}, timeoutMs: ${timeoutMs} },
      });
      await readReady(group.stdout);
      console.log('ready ' + JSON.stringify({ pgid: group.pgid }));
      await new Promise((resolve) => process.stdin.once('data', resolve));
      const begin = performance.now();
      const report = await group.stop();
      console.log('ready ' + JSON.stringify({ report, ms: performance.now() - begin }));
      process.exit(0);`;
    const subject = startNode({ source }, { env: scenario.env, via: unprivileged, input: '' });
    subject.stderr?.pipe(process.stderr);
    const stdout = subject.stdout ?? expect.fail('no stdout');
    const { pgid } = await readReady<{ pgid: number }>(stdout);
    const { joiner, said } = await joinAsRoot(pgid);
    subject.stdin?.write('go\n');
    const { report, ms } = await readReady<{ report: TeardownReport; ms: number }>(stdout);
    subject.stdin?.end();
    if (subject.exitCode === null) await once(subject, 'close');
    return { report, ms, joiner, pid: said[0] ?? 0, leader: pgid };
  }

  /** What the killer was asked: the pid it ran as, the signal, the pids. */
  function asked() {
    return readFileSync(log, 'latin1')
      .trim()
      .split('\n')
      .map((line) => {
        const [self, , signal, , ...pids] = line.split(' ');
        return { self: Number(self), signal, pids: pids.map(Number) };
      });
  }

  async function survives({ report, pid, leader, ms }: Answer, bound: number) {
    expect(report.empty).toBe(false);
    expect(report.survivors).toMatchObject([{ pid, error: 'EPERM' }]);
    expect(isDead(pid)).toBe(false);
    await waitUntil(() => isDead(leader));
    expect(ms).toBeLessThan(bound);
  }

  it('G7 it works: the group is empty', async () => {
    const { report, joiner, pid, leader } = await stopWith([killer, 'work', log]);
    expect(report).toMatchObject({ empty: true, survivors: [] });
    if (joiner.signalCode === null && joiner.exitCode === null) await once(joiner, 'close');
    expect(joiner.signalCode).toBe('SIGTERM');
    expect(isDead(leader)).toBe(true);
    expect(asked()[0]).toMatchObject({ signal: 'TERM', pids: [pid] });
    expect(report.steps).toContainEqual(expect.objectContaining({ target: 'killer', signal: 'SIGTERM', error: null }));
    expect(report.notes).toContain('numeric-pids');
  });

  it('G7 control: without it the member survives', async () => {
    await survives(await stopWith(['/bin/true']), 5_000);
  });

  it('G7 it fails: the ladder goes on, the notes say so', async () => {
    const answer = await stopWith([killer, 'fail', log], 5_000); // no matter how slow it starts
    await survives(answer, 5_000);
    expect(answer.report.notes.join('\n')).toContain('killer-failed');
    expect(
      asked().map(({ signal }) => signal),
      JSON.stringify(answer.report),
    ).toEqual(expect.arrayContaining(['TERM', 'KILL']));
  });

  it('G7 it is not there: the ladder goes on, the notes say so', async () => {
    const answer = await stopWith([join(folder, 'no-such-killer')]);
    await survives(answer, 5_000);
    expect(answer.report.notes.join('\n')).toContain('killer-failed');
  });

  it('G7 it hangs: it is killed at its timeout, the ladder goes on', async () => {
    const answer = await stopWith([killer, 'hang', log], 250, 900); // however late it starts, its timeout comes before the end
    await survives(answer, 8_000);
    expect(answer.report.notes.join('\n')).toContain('killer-timeout');
    for (const { self } of asked()) await waitUntil(() => isDead(self), { what: `the killer ${self} is dead` });
  });

  it('G7 it hangs and cannot be killed: bounded all the same', async () => {
    const answer = await stopWith([killer, 'stuck', log], 250, 900);
    const left = asked().map(({ self }) => self);
    scenario.defer(() => {
      for (const pid of left) {
        if (!isDead(pid) && readlinkSync(`/proc/${pid}/exe`) === killer) process.kill(pid, 'SIGKILL');
      }
      return waitUntil(() => left.every(isDead));
    });
    await survives(answer, 8_000);
    expect(answer.report.notes.join('\n')).toContain('killer-timeout');
    expect(
      left.some((pid) => !isDead(pid)),
      'control: this killer does outlive its timeout',
    ).toBe(true);
  });

  it('G7 a pid vanished meanwhile: the group is empty all the same', async () => {
    const { report, pid } = await stopWith([killer, 'vanish', log]);
    expect(report).toMatchObject({ empty: true, survivors: [] });
    expect(asked()[0]?.pids).toEqual([pid]);
    expect(isDead(pid)).toBe(true);
  });

  it('G7 of a worker: it has the environment of that worker', async () => {
    // The killer of a worker that has ended would be no witness: the worker says when to go on, and stops its group itself.
    const inWorker = `
      const { parentPort } = require('node:worker_threads');
      const { once } = require('node:events');
      (async () => {
        const { spawn } = await import('${dist}index.js');
        const { readReady } = await import('${root}test/support/ready.mjs');
        process.env.LATER = 'set in the worker';
        const group = await spawn('${member}', ['sleep'], {
          containment: 'group',
          stdio: ['ignore', 'pipe', 'inherit'],
          teardown: [{ signal: 'SIGTERM', graceMs: 300 }],
          killWaitMs: 1000,
          privilegedKiller: { command: ['/bin/sh', '-c', 'echo "$WHO, <$GONE>, $LATER" >> "$0"', '${log}'] },
        });
        await readReady(group.stdout);
        process.env.WHO = 'too late';
        const go = once(parentPort, 'message');
        parentPort.postMessage({ pgid: group.pgid });
        await go;
        parentPort.postMessage(await group.stop());
      })();`;
    const source = `
      const { Worker } = await import('node:worker_threads');
      process.env.WHO = 'the process';
      process.env.GONE = 'of the process';
      const worker = new Worker(${JSON.stringify(inWorker)}, {
        eval: true, execArgv: [], env: { ...process.env, WHO: 'the worker', GONE: '' },
      });
      const next = async () => console.log('ready ' + JSON.stringify((await once(worker, 'message'))[0]));
      const { once } = await import('node:events');
      await next();
      process.stdin.once('data', () => worker.postMessage('go'));
      await next();
      process.exit(0);`;
    const subject = startNode({ source }, { env: scenario.env, via: unprivileged, input: '' });
    subject.stderr?.pipe(process.stderr);
    const stdout = subject.stdout ?? expect.fail('no stdout');
    const { pgid } = await readReady<{ pgid: number }>(stdout);
    await joinAsRoot(pgid);
    subject.stdin?.write('go\n');
    expect(await readReady<TeardownReport>(stdout)).toMatchObject({ empty: false, survivors: [{ error: 'EPERM' }] });
    if (subject.exitCode === null) await once(subject, 'close');
    const lines = new Set(readFileSync(log, 'latin1').trim().split('\n'));
    expect([...lines]).toEqual(['the worker, <>, set in the worker']);
  });
});

it('G7 in a worker, while the main thread changes its environment: nothing crashes', async () => {
  const inWorker = `
    const { parentPort, workerData } = require('node:worker_threads');
    import('${dist}index.js').then(async ({ attach, spawn }) => {
      const privilegedKiller = { command: ['/bin/true'] };
      let refused = 0;
      for (let i = 0; i < workerData; i++) {
        await attach(0x3ffffffe, { privilegedKiller }).catch((error) => { refused += error.code === 'ESRCH'; });
        if (i % 100 === 0) await (await spawn('true', [], { privilegedKiller, stdio: 'ignore' })).gone;
      }
      parentPort.postMessage(refused);
    });`;
  const rounds = scaled(2_000);
  const source = `
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(${JSON.stringify(inWorker)}, { eval: true, execArgv: [], workerData: ${rounds} });
    let refused = null;
    worker.once('message', (count) => { refused = count; });
    for (let i = 0; i < 200_000 && refused === null; i++) {
      for (let j = 0; j < 200; j++) process.env['CHANGING_' + (j * 7) % 150] = 'x'.repeat((i * 31 + j) % 400);
      for (let j = 0; j < 150; j += 2) delete process.env['CHANGING_' + j];
      await new Promise(setImmediate);
    }
    console.log(JSON.stringify(refused));
    process.exit(0);`;
  expect(await runNodeJson({ source }, { env: scenario.env })).toBe(rounds);
});
