// G14: what the library does to the terminal, seen from the terminal.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { subjectEnv } from './support/environment.mjs';
import { dist, root } from './support/paths.mjs';
import { Pty } from './support/pty.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const INTERRUPT = '\x03';

/** A Node that leads the session of a new terminal and runs this source. */
function node(source: string): Pty {
  const prelude = `
    import ${JSON.stringify(`${root}test/support/environment.mjs`)};
    import { spawn } from ${JSON.stringify(`${dist}index.js`)};
    import { getpgid, getpgrp, getsid } from ${JSON.stringify(`${dist}posix.js`)};
    const say = (word, value) => console.log(word + ':' + value);
  `;
  const pty = new Pty([process.execPath, '--input-type=module', '-e', prelude + source], {
    env: subjectEnv(scenario.env),
  });
  scenario.defer(() => pty.close());
  return pty;
}

const ended = { code: 0, signal: null };

describe('isolation inherit', () => {
  it('G14: keeps Ctrl-C: the terminal signals the child with us', async () => {
    const pty = node(`
      const interrupted = new Promise((resolve) => process.on('SIGINT', resolve));
      const open = setInterval(() => {}, 60_000);
      const child = await spawn('sh', ['-c', 'echo ready; exec sleep 1000'], { isolation: 'inherit', stdio: 'inherit' });
      say('same group', getpgid(child.pid) === getpgrp());
      say('child', (await child.exited).signal);
      say('parent', await interrupted);
      clearInterval(open);
    `);
    await pty.expect('same group:true');
    if (!pty.output.includes('ready')) await pty.expect('ready');
    pty.type(INTERRUPT);
    await pty.expect('child:SIGINT');
    await pty.expect('parent:SIGINT');
    expect(await pty.end).toEqual(ended);
  });
});

describe('isolation group', () => {
  it('G14: keeps the session, and hides the child from Ctrl-C', async () => {
    const pty = node(`
      const child = await spawn('sh', ['-c', 'echo ready; exec sleep 1000'], { isolation: 'group', stdio: 'inherit' });
      process.on('SIGINT', async () => {
        say('alive', process.kill(child.pid, 0));
        say('end', (await child.stop()).empty);
        say('child', (await child.exited).signal);
        process.exit(0);
      });
      say('same session', getsid(child.pid) === getsid(process.pid));
      say('own group', getpgid(child.pid) === child.pid);
    `);
    await pty.expect('same session:true');
    await pty.expect('own group:true');
    if (!pty.output.includes('ready')) await pty.expect('ready');
    expect(await pty.foreground()).toBe(await pty.pid);
    pty.type(INTERRUPT);
    await pty.expect('alive:true');
    await pty.expect('child:SIGTERM');
    expect(await pty.end).toEqual(ended);
  });
});

describe('foreground', () => {
  const ENDS = [
    ['an exit', 'read -r line; echo "got:$line"; exit 5', 'hello\n', '5,null'],
    ['a crash', 'ulimit -c 0; read -r line; kill -SEGV $$', 'x\n', 'null,SIGSEGV'],
    ['Ctrl-C', 'exec sleep 1000', INTERRUPT, 'null,SIGINT'],
  ] as const;

  it.each(ENDS)(
    'G14: hands the terminal over before exec and takes it back after %s',
    async (_, script, typed, end) => {
      const pty = node(`
      const child = await spawn('sh', ['-c', 'echo ready; ' + ${JSON.stringify(script)}], { foreground: true, stdio: 'inherit' });
      say('pgid', child.pgid);
      const { code, signal } = await child.exited;
      await child.gone;
      say('end', code + ',' + signal);
      process.stdin.once('data', (text) => { say('parent reads', text); process.exit(0); });
    `);
      const [, pgid] = await pty.expect(/pgid:(\d+)\r\n/);
      if (!pty.output.includes('ready')) await pty.expect('ready');
      expect(await pty.foreground()).toBe(Number(pgid));
      pty.type(typed);
      await pty.expect(`end:${end}`);
      expect(await pty.foreground()).toBe(await pty.pid);
      pty.type('mine\n');
      await pty.expect('parent reads:mine');
      expect(await pty.end).toEqual(ended);
    },
  );

  it.for(['group', 'tree'])(
    'G14: with more than 4,096 descriptors open, containment %s',
    async (containment, context) => {
      const [, hard = ''] =
        /^Max open files +\d+ +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
      const many = 6_000;
      if (Number(hard) < many + 500) return context.skip(`the hard limit of open files is ${hard}`);
      const pty = node(`
      const { openSync } = await import('node:fs');
      let last = 0;
      while (last < ${many}) last = openSync('/dev/null');
      say('table', last);
      const child = await spawn('sh', ['-c', 'echo ready; read -r line; echo "got:$line"'], {
        foreground: true, stdio: 'inherit', containment: '${containment}',
      });
      say('pgid', child.pgid);
      const { code, signal } = await child.exited;
      await child.gone;
      say('end', code + ',' + signal);
      process.stdin.once('data', (text) => { say('parent reads', text); process.exit(0); });
    `);
      const [, pgid] = await pty.expect(/pgid:(\d+)\r\n/);
      if (!pty.output.includes('ready')) await pty.expect('ready');
      expect(await pty.foreground()).toBe(Number(pgid));
      pty.type('hello\n');
      await pty.expect('end:0,null');
      expect(pty.output).toContain('got:hello');
      expect(await pty.foreground()).toBe(await pty.pid);
      pty.type('mine\n');
      await pty.expect('parent reads:mine');
      expect(await pty.end).toEqual(ended);
    },
  );

  it('G14: takes the terminal back after a teardown of a group whose leader had gone', async () => {
    const pty = node(`
      const child = await spawn('sh', ['-c', 'sleep 1000 & echo ready'], { foreground: true, stdio: 'inherit' });
      await child.exited;
      say('report', (await child.stop()).empty);
      process.stdin.once('data', () => process.exit(0));
    `);
    await pty.expect('report:true');
    expect(await pty.foreground()).toBe(await pty.pid);
    pty.type('\n');
    expect(await pty.end).toEqual(ended);
  });

  it('G14: leaves the terminal with us where the program does not start', async () => {
    const pty = node(`
      await spawn('/no/such/file', [], { foreground: true, stdio: 'inherit' }).catch((error) => say('code', error.code));
      process.stdin.once('data', () => process.exit(0));
    `);
    await pty.expect('code:ENOENT');
    expect(await pty.foreground()).toBe(await pty.pid);
    pty.type('\n');
    expect(await pty.end).toEqual(ended);
  });

  it('G14: with a session of its own is refused', async () => {
    const pty = node(`
      await spawn('true', [], { foreground: true, isolation: 'session' }).catch((error) => say('code', error.code));
    `);
    await pty.expect('code:ERR_FOREGROUND_SESSION');
    expect(await pty.end).toEqual(ended);
  });
});
