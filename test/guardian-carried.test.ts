// The guardian that the addon carries: trees are as bound where its file is missing or may not be executed.
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Installed, install } from './support/installed.js';
import { waitUntil } from './support/oracle.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const noexec = existsSync('/proc/sys/vm/memfd_noexec');
if (!noexec) process.stderr.write('guardian-carried, vm.memfd_noexec: skipped, it needs Linux 6.3\n');

const MEMORY = '/memfd:procgroup-guardian (deleted)';

describe('a guardian from memory', () => {
  const scenario = useScenario();
  let installed: Installed;
  beforeEach(() => {
    installed = install(scenario);
  });

  /** Starts a member that has a member ignoring SIGTERM; answers with what its guardian runs. */
  const tree = `
    const copy = await import(process.argv.at(-1));
    const guardianOf = (pid) => /^PPid:\\s+(\\d+)/m.exec(nodeFs.readFileSync('/proc/' + pid + '/status', 'utf8'))[1];
    const begin = async (options = {}) => {
      const group = await copy.spawn(member, ['grandchild-ignores-term'], {
        stdio: ['ignore', 'pipe', 'ignore'], teardown: [{ signal: 'SIGTERM', graceMs: 100 }], ...options,
      });
      const ready = await readReady(group.stdout);
      const guardian = guardianOf(ready.pid);
      return { group, ready, guardian, exe: nodeFs.readlinkSync('/proc/' + guardian + '/exe') };
    };`;
  const options = () => ({ args: [installed.index], env: scenario.env });

  const stopped = `
    const { group, exe } = await begin();
    const { empty } = await group.stop();
    console.log(JSON.stringify({ exe, empty }));`;

  it('control: the file is used where it is there', async () => {
    const answer = await runNodeJson({ source: tree + stopped }, options());
    expect(answer).toEqual({ exe: installed.guardian, empty: true });
  });

  it('where the file is missing', async () => {
    rmSync(installed.guardian);
    expect(await runNodeJson({ source: tree + stopped }, options())).toEqual({ exe: MEMORY, empty: true });
  });

  it('where its exec bit is lost', async () => {
    chmodSync(installed.guardian, 0o644);
    expect(await runNodeJson({ source: tree + stopped }, options())).toEqual({ exe: MEMORY, empty: true });
  });

  it('under a SIGKILL of the supervisor nothing is left', async () => {
    rmSync(installed.guardian);
    const source = `${tree} await begin(); await begin(); process.kill(process.pid, 'SIGKILL');`;
    expect((await runNode({ source }, options())).signal).toBe('SIGKILL');
    await waitUntil(() => scenario.alive().length === 0 || null, { what: 'an empty tree' });
  });

  it('control: without a guardian the SIGKILL leaves a survivor', async () => {
    const source = `${tree} await begin({ containment: 'leader' }); process.kill(process.pid, 'SIGKILL');`;
    expect((await runNode({ source }, options())).signal).toBe('SIGKILL');
    scenario.leaves();
    expect(scenario.alive()).not.toEqual([]);
  });

  const fallbacks = ['', 'close_range', 'clone3', 'pidfd'];
  it.each(fallbacks)('the command has the listed descriptors and no other (without: %s)', async (name) => {
    rmSync(installed.guardian);
    // An installed package heeds no variable of the test suite: lib/test-switch.ts.
    mkdirSync(join(installed.folder, 'test/support/native'), { recursive: true });
    writeFileSync(join(installed.folder, 'test/support/native/fakeguardian.c'), '');
    // More than where the memory file lies: a target would otherwise be made on its number.
    const source = `${tree}
      const stdio = ['ignore', 'pipe', 'inherit', ...Array.from({ length: 80 }, () => 'ignore')];
      nodeFs.openSync('/dev/zero');
      const group = await copy.spawn('ls', ['-1', '/proc/self/fd'], { stdio });
      let text = '';
      for await (const part of group.stdout) text += part;
      const few = await begin();
      const open = (pid) => nodeFs.readdirSync('/proc/' + pid + '/fd').map((fd) => {
        try { return nodeFs.readlinkSync('/proc/' + pid + '/fd/' + fd); } catch { return ''; }
      });
      const memory = [few.guardian, few.ready.pid].map((pid) => open(pid).filter((to) => to.includes('memfd')).length);
      await few.group.kill();
      console.log(JSON.stringify({ numbers: text.trim().split('\\n').map(Number).sort((a, b) => a - b), memory }));`;
    const env = { ...scenario.env, PROCGROUP_TEST_DISABLE: name };
    const answer = await runNodeJson<{ numbers: number[]; memory: number[] }>({ source }, { ...options(), env });
    // ls itself opens the folder.
    expect(answer.numbers).toEqual(Array.from({ length: 84 }, (_, at) => at));
    expect(answer.memory).toEqual([0, 0]);
  });

  it('one memory file for all trees, sealed, and closed in what is started', async () => {
    rmSync(installed.guardian);
    const source = `${tree}
      const files = () => nodeFs.readdirSync('/proc/self/fd').filter((fd) => {
        try { return nodeFs.readlinkSync('/proc/self/fd/' + fd).includes('memfd:procgroup'); } catch { return false; }
      });
      const before = files().length;
      const groups = [];
      for (let i = 0; i < 5; i++) groups.push((await begin()).group);
      const [fd, ...more] = files();
      const flags = /^flags:\\s+(\\d+)/m.exec(nodeFs.readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1];
      const tried = ['write', 'truncate'].map((how) => {
        try {
          if (how === 'write') nodeFs.writeSync(Number(fd), 'x', 0);
          else nodeFs.ftruncateSync(Number(fd), 1);
          return 'done';
        } catch ({ code }) { return code; }
      });
      await Promise.all(groups.map((group) => group.kill()));
      console.log(JSON.stringify({ before, more: more.length, cloexec: (parseInt(flags, 8) & 0o2000000) !== 0, tried }));`;
    expect(await runNodeJson({ source }, options())).toEqual({
      before: 0,
      more: 0,
      cloexec: true,
      tried: ['EPERM', 'EPERM'],
    });
  });

  it('in workers, and by the drop-in at once', async () => {
    rmSync(installed.guardian);
    const source = `${tree}
      import { Worker } from 'node:worker_threads';
      const body = 'const { spawn } = await import(' + JSON.stringify('file://' + process.argv.at(-1)) + ');'
        + 'for (let i = 0; i < 10; i++) await (await spawn(' + JSON.stringify(member) + ', ["exit", "0"], { stdio: "ignore" })).gone;';
      const url = new URL('data:text/javascript,' + encodeURIComponent(body));
      const codes = await Promise.all([1, 2, 3].map(() => new Promise((resolve, reject) => {
        new Worker(url).on('error', reject).on('exit', resolve);
      })));
      const drop = await import(process.argv.at(-1).replace('index.js', 'child-process.js'));
      const child = drop.spawn(member, ['sleep'], { containment: 'tree', stdio: ['ignore', 'pipe', 'inherit'] });
      const ready = await readReady(child.stdout);
      const exe = nodeFs.readlinkSync('/proc/' + guardianOf(ready.pid) + '/exe');
      const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal)));
      child.kill('SIGTERM');
      console.log(JSON.stringify({ codes, exe, signal: await ended }));`;
    const answer = await runNodeJson({ source }, options());
    expect(answer).toEqual({ codes: [0, 0, 0], exe: MEMORY, signal: 'SIGTERM' });
  });

  it('is what doctor tells of', async () => {
    rmSync(installed.guardian);
    const run = await runNode(`${installed.folder}/dist/cli/main.js`, {
      args: ['doctor', '--json'],
      env: scenario.env,
    });
    const { containments } = JSON.parse(run.stdout) as {
      containments: { name: string; available: boolean; why: string }[];
    };
    expect(containments.find(({ name }) => name === 'tree')).toMatchObject({
      name: 'tree',
      available: true,
      why: expect.stringMatching(/the addon's own copy, in memory: .*procgroup-guardian: ENOENT$/),
    });
  });

  it.skipIf(!noexec)('forbidden by vm.memfd_noexec: a typed error, and nothing is started', async () => {
    rmSync(installed.guardian);
    const source = `
      const copy = await import(process.argv.at(-1));
      nodeFs.writeFileSync('/proc/sys/vm/memfd_noexec', '2');
      const error = await copy.spawn(member, ['sleep']).catch((refused) => refused);
      const { name, code, errno, syscall, stage, message } = error;
      const group = await copy.spawn(member, ['exit', '7'], { containment: 'group', stdio: 'ignore' });
      const other = (await group.exited).code;
      const why = message.includes('vm.memfd_noexec');
      const strongest = await copy.spawn(member, ['exit', '0'], { containment: 'strongest', stdio: 'ignore' });
      const doctor = process.argv.at(-1).replace('index.js', 'cli/main.js');
      const told = nodeProcess.spawnSync(process.execPath, [doctor, 'doctor', '--json'], { encoding: 'utf8' });
      const works = JSON.parse(told.stdout).containments.filter(({ available }) => available).map(({ name }) => name);
      console.log(JSON.stringify({ name, code, errno, syscall, stage, why, other,
        strongest: strongest.mechanism.containment, doctor: [told.status, works] }));`;
    // The setting is one of the PID namespace.
    const via = ['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
    expect(await runNodeJson({ source }, { ...options(), via })).toEqual({
      name: 'ProcessGroupError',
      code: 'ERR_GUARDIAN_REFUSED',
      errno: -13,
      syscall: 'memfd_create',
      stage: 'guardian',
      why: true,
      other: 7,
      strongest: 'group',
      doctor: [0, ['leader', 'group']],
    });
  });
});
