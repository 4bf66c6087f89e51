// procgroup/posix: the typed primitives, against what the kernel says of the same processes in /proc.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runNode, runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const begin = `
  const posix = await import(paths.dist + 'posix.js');
  const told = (run) => {
    try { return run() ?? 'done'; } catch (error) {
      return {
        code: error.code, errno: error.errno, syscall: error.syscall, own: error instanceof ProcessGroupError,
      };
    }
  };
  const start = async (options) => {
    const child = nodeProcess.spawn(member, ['sleep'], { stdio: ['ignore', 'pipe', 'inherit'], ...options });
    await readReady(child.stdout);
    return child;
  };
  const ended = (child) => new Promise((resolve) => child.once('close', (code, signal) => resolve(signal)));
  const ABSENT = 4_194_305; // above PID_MAX_LIMIT
`;

const esrch = (syscall: string) => ({ code: 'ESRCH', errno: -3, syscall, own: true });

describe('procgroup/posix', () => {
  const scenario = useScenario();
  const run = <T>(source: string, via: readonly string[] = []) =>
    runNodeJson<T>({ source: begin + source }, { env: scenario.env, via });

  it('posix: getpgid, getpgrp, getsid say what /proc says', async () => {
    const answer = await run(`
      const child = await start({ detached: true });
      const self = oracle.stat(process.pid);
      const other = oracle.stat(child.pid);
      const seen = [
        posix.getpgrp() === self.pgid, posix.getpgid(0) === self.pgid, posix.getpgid(process.pid) === self.pgid,
        posix.getsid(0) === self.sid, posix.getpgid(child.pid) === other.pgid, posix.getsid(child.pid) === other.sid,
        other.pgid === child.pid, other.sid === child.pid, self.pgid !== other.pgid,
      ];
      posix.killpg(child.pid, 'SIGKILL');
      seen.push(await ended(child));
      console.log(JSON.stringify({ seen, absent: [
        told(() => posix.getpgid(ABSENT)), told(() => posix.getsid(ABSENT)),
      ] }));`);
    expect(answer).toEqual({
      seen: [...Array(9).fill(true), 'SIGKILL'],
      absent: [esrch('getpgid'), esrch('getsid')],
    });
  });

  it('posix: setpgid moves this process into a group of its own, and says why it cannot move others', async () => {
    const answer = await run(
      `
      const child = await start({ detached: true });
      const before = posix.getpgrp();
      posix.setpgid(0, 0);
      const seen = [before !== process.pid, posix.getpgrp() === process.pid, oracle.stat(process.pid).pgid === process.pid];
      console.log(JSON.stringify({ seen, refused: [
        told(() => posix.setpgid(child.pid, 0)),       // a session leader
        told(() => posix.setpgid(0, child.pid)),       // a group of another session
        told(() => posix.setpgid(ABSENT, 0)),
        told(() => posix.setpgid(0, -1)),
      ] }));
      child.kill('SIGKILL');
      await ended(child);`,
    );
    expect(answer).toMatchObject({
      seen: [true, true, true],
      refused: [
        { own: true, syscall: 'setpgid' },
        { code: 'EPERM', errno: -1, syscall: 'setpgid', own: true },
        esrch('setpgid'),
        { code: 'ERR_OUT_OF_RANGE', own: true },
      ],
    });
    // EACCES: it has done an exec. EPERM: it leads a session. Linux looks at the session first.
    expect(['EPERM', 'EACCES']).toContain((answer as { refused: { code: string }[] }).refused[0]?.code);
  });

  it('posix: setsid makes a session, and is refused to a group leader', async () => {
    const answer = await run(`
      const sid = posix.setsid();
      const self = oracle.stat(process.pid);
      console.log(JSON.stringify({ made: [sid === process.pid, self.sid === process.pid, self.pgid === process.pid],
        again: told(() => posix.setsid()) }));`);
    expect(answer).toEqual({
      made: [true, true, true],
      again: { code: 'EPERM', errno: -1, syscall: 'setsid', own: true },
    });
  });

  it('posix: killpg signals every member of a group', async () => {
    const answer = await run(`
      const { once } = await import('node:events');
      const child = nodeProcess.spawn(member, ['wide', '5'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      const { members } = await readReady(child.stdout);
      const alive = members.filter((pid) => !oracle.isDead(pid)).length;
      posix.killpg(child.pid, 'SIGKILL');
      await once(child, 'close');
      await oracle.waitUntil(() => members.every(oracle.isDead));
      console.log(JSON.stringify({ alive, dead: members.filter(oracle.isDead).length }));`);
    expect(answer).toEqual({ alive: 5, dead: 5 });
  });

  it('posix: a Pidfd sends, waits and closes', async () => {
    const answer = await run(`
      // The engine has descriptors of its own, from its first use on.
      await spawn(member, ['exit', '0'], { stdio: 'ignore' }).then((group) => group.gone);
      const child = await start({});
      const before = oracle.openFds().length;
      const pidfd = posix.pidfdOpen(child.pid);
      const target = oracle.openFds().find(({ fd }) => fd === pidfd.fd)?.target;
      const opened = [pidfd.pid === child.pid, pidfd.fd >= 0, oracle.openFds().length - before];
      pidfd.send(0);
      let settled = false;
      const waits = [pidfd.wait(), pidfd.wait()];
      waits[0].then(() => { settled = true; });
      await new Promise(setImmediate);
      const early = settled;
      pidfd.send('SIGKILL');
      const signal = await ended(child);
      await Promise.all(waits);
      await pidfd.wait();
      const gone = told(() => pidfd.send('SIGTERM'));
      pidfd.close();
      pidfd.close();
      const closed = told(() => pidfd.send(0));
      const late = await pidfd.wait().then(() => 'settled', (error) => error.code);
      console.log(JSON.stringify({ target, opened, early, signal, gone, closed: closed.own, late: typeof late,
        left: oracle.openFds().length - before <= 0 }));`);
    expect(answer).toMatchObject({
      opened: [true, true, 1],
      early: false,
      signal: 'SIGKILL',
      gone: { code: 'ESRCH', errno: -3, own: true },
      closed: true,
      late: 'string',
      left: true,
    });
    expect((answer as { target: string }).target).toMatch(/pidfd/);
  });

  it('posix: a Pidfd is disposable, and closing it while a wait is pending does not hang or crash', async () => {
    const ended = await runNode(
      {
        source: `${begin}
          const child = await start({});
          const first = posix.pidfdOpen(child.pid);
          first[Symbol.dispose]();
          const second = posix.pidfdOpen(child.pid);
          const outcome = second.wait().then(() => 'settled', (error) => error.code ?? 'rejected');
          second.close();
          child.kill('SIGKILL');
          await ended(child);
          console.log(typeof (await outcome));`,
      },
      { env: scenario.env, timeoutMs: 20_000 },
    );
    expect([ended.code, ended.stdout], ended.stderr).toEqual([0, 'string\n']);
  });

  it('posix: pidfdOpen says why it cannot', async () => {
    const answer = await run(`
      console.log(JSON.stringify([
        told(() => posix.pidfdOpen(ABSENT)), told(() => posix.pidfdOpen(0)), told(() => posix.pidfdOpen(-1)),
        told(() => posix.pidfdOpen('1')), told(() => posix.pidfdOpen(1.5)),
      ].map((error) => error.code + ' ' + error.own)));`);
    expect(answer).toEqual([
      'ESRCH true',
      expect.stringMatching(/^(ERR_OUT_OF_RANGE|EINVAL) true$/),
      'ERR_OUT_OF_RANGE true',
      'ERR_INVALID_ARG_TYPE true',
      expect.stringMatching(/^ERR_(OUT_OF_RANGE|INVALID_ARG_TYPE) true$/),
    ]);
  });

  it('posix: tcgetpgrp and tcsetpgrp on what is no terminal', async () => {
    const answer = await run(`
      const { openSync } = await import('node:fs');
      const fd = openSync('/dev/null', 'r');
      console.log(JSON.stringify([told(() => posix.tcgetpgrp(fd)), told(() => posix.tcsetpgrp(fd, posix.getpgrp())),
        told(() => posix.tcgetpgrp(9999))].map(({ code, errno, own }) => ({ code, errno, own }))));`);
    expect(answer).toEqual([
      { code: 'ENOTTY', errno: -25, own: true },
      { code: 'ENOTTY', errno: -25, own: true },
      { code: 'EBADF', errno: -9, own: true },
    ]);
  });

  it('posix: tcgetpgrp and tcsetpgrp on a controlling terminal', async () => {
    // script(1) gives its command a pty as controlling terminal; the result goes to a descriptor of its own.
    const source = `${begin}
      const { writeFileSync } = await import('node:fs');
      const child = nodeProcess.spawn(member, ['sleep'], { stdio: ['ignore', 'pipe', 'inherit'] });
      await readReady(child.stdout);
      const own = posix.getpgrp();
      const first = posix.tcgetpgrp(0);
      const group = await spawn(member, ['sleep'], { stdio: 'ignore' });
      posix.tcsetpgrp(0, group.pgid);
      const handed = posix.tcgetpgrp(0) === group.pgid;
      posix.tcsetpgrp(0, own);
      const back = posix.tcgetpgrp(0) === own;
      await group.kill();
      child.kill('SIGKILL');
      await ended(child);
      writeFileSync(process.env.RESULT, JSON.stringify({ foreground: first === own, handed, back }));`;
    const folder = mkdtempSync(join(tmpdir(), 'procgroup-pty-'));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    // What stands before node's first argument is more than one word where a sanitizer's runtime is preloaded.
    const words = 'NODE=; while [ "$1" != --input-type=module ]; do NODE="$NODE $1"; shift; done';
    const command = 'exec $NODE --input-type=module -e "$SOURCE"';
    const script = `${words}; export NODE SOURCE="$3"; exec script -q -e -c '${command}' /dev/null < /dev/null`;
    const ended = await runNode(
      { source },
      { env: { ...scenario.env, RESULT: `${folder}/result` }, via: ['sh', '-c', script, 'sh'], timeoutMs: 30_000 },
    );
    expect(ended.code, ended.stdout + ended.stderr).toBe(0);
    expect(JSON.parse(readFileSync(`${folder}/result`, 'utf8'))).toEqual({
      foreground: true,
      handed: true,
      back: true,
    });
  });
});
