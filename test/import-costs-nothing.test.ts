// Import, construct, read metadata: no process, no thread, no descriptor.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { subjectEnv } from './support/environment.mjs';
import { dist, member, root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

interface Seen {
  threads: string[];
  fds: string[];
  children: number;
}

interface Answer {
  before: Seen;
  after: Seen;
  spawned: Seen;
  handlers: string[];
}

// The prelude of runNode imports the package itself, so this subject has none.
function subject(imports: string): string {
  return `
    import * as oracle from ${JSON.stringify(`${root}test/support/oracle.mjs`)};
    import { stat } from 'node:fs/promises';
    import { createRequire } from 'node:module';
    const look = () => ({
      threads: oracle.threads().map(({ comm }) => comm).sort(),
      fds: oracle.openFds().map(({ fd, target }) => fd + ' ' + target.replace(/\\[\\d+\\]/, '')),
      children: oracle.childrenOf().length,
    });
    // Node's own thread pool starts with the first file that is read.
    await import('data:text/javascript,');
    await Promise.all(Array.from({ length: 8 }, () => stat('.')));
    const signals = ['SIGCHLD', 'SIGTERM', 'SIGINT', 'SIGHUP'];
    const count = () => signals.map((name) => name + ' ' + process.listenerCount(name));
    const before = look();
    const handlers = count();
    {
      ${imports}
    }
    const after = look();
    const changed = count().filter((line, index) => line !== handlers[index]);
    const { spawn } = await import(${JSON.stringify(`${dist}index.js`)});
    const group = await spawn(${JSON.stringify(member)}, ['sleep'], { stdio: 'ignore' });
    const spawned = look();
    await group.kill();
    console.log(JSON.stringify({ before, after, spawned, handlers: changed }));
  `;
}

describe('H1 import costs nothing', () => {
  const scenario = useScenario();

  async function look(imports: string): Promise<Answer> {
    const args = ['--input-type=module', '-e', subject(imports)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: subjectEnv(scenario.env), cwd: root });
    return JSON.parse(stdout) as Answer;
  }

  function expectNothing({ before, after, spawned, handlers }: Answer) {
    expect(after).toEqual(before);
    expect(handlers, 'no signal handler behind the back of the user').toEqual([]);
    expect(spawned.threads.length, 'control: the first spawn does start the engine').toBeGreaterThan(
      before.threads.length,
    );
    expect(spawned.fds.length).toBeGreaterThan(before.fds.length);
    expect(spawned.children).toBe(before.children + 1);
  }

  it('H1 import of the package', async () => {
    expectNothing(
      await look(`
        const procgroup = await import(${JSON.stringify(`${dist}index.js`)});
        Object.keys(procgroup).map((name) => [procgroup[name].name, procgroup[name].length]);
        Object.getOwnPropertyNames(procgroup.ProcessGroup.prototype);
        new procgroup.ProcessGroupError('x', { code: 'X' });
        new procgroup.AbortError();`),
    );
  });

  it('H1 import of procgroup/posix and reading what it can tell', async () => {
    expectNothing(
      await look(`
        const posix = await import(${JSON.stringify(`${dist}posix.js`)});
        posix.getpgrp(); posix.getpgid(process.pid); posix.getsid(0);`),
    );
  });

  it('H1 import of procgroup/supervise, and a supervision that is refused', async () => {
    expectNothing(
      await look(`
        const { supervise, httpLost } = await import(${JSON.stringify(`${dist}supervise.js`)});
        httpLost({ status: 409 });
        try { supervise('x', [], { signals: { SIGTERM: 'drain' }, lease: {} }); throw new Error('supervised'); }
        catch (error) { if (error.code !== 'ERR_INVALID_ARG_TYPE') throw error; }`),
    );
  });

  it('H1 import of procgroup/child_process and of the preload, and a call that is refused', async () => {
    expectNothing(
      await look(`
        const cp = await import(${JSON.stringify(`${dist}child-process.js`)});
        await import(${JSON.stringify(`${dist}register.js`)});
        for (const args of [[''], ['true', [], { containment: 'wood' }], ['true', ['a\\0b']]]) {
          try { cp.spawn(...args); throw new Error('spawned'); }
          catch (error) { if (!/^ERR_INVALID_ARG/.test(error.code)) throw error; }
        }`),
    );
  });

  it('H1 refused arguments', async () => {
    expectNothing(
      await look(`
        const { spawn, attach } = await import(${JSON.stringify(`${dist}index.js`)});
        await spawn('').then(() => { throw new Error('spawned'); }, () => {});
        await spawn('x', ['a\\0b']).then(() => { throw new Error('spawned'); }, () => {});
        await attach(0).then(() => { throw new Error('attached'); }, () => {});`),
    );
  });

  it('H1 require() of the package and its package.json', async () => {
    expectNothing(
      await look(`
        const require = createRequire(${JSON.stringify(`${root}package.json`)});
        if (require('procgroup/package.json').name !== 'procgroup') throw new Error('another package');
        if (process.features.require_module) require('procgroup');`),
    );
  });
});
