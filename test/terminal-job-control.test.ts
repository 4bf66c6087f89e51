// C3: on a terminal `procgroup run` is what the command itself would be: the shell's job.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bin } from './support/cli.js';
import { stat, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { Pty, Shell } from './support/pty.js';
import type { Ready } from './support/ready.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const folder = mkdtempSync(join(tmpdir(), 'procgroup-terminal-'));
execFileSync('mkfifo', [join(folder, 'go')]);
afterAll(() => rmSync(folder, { recursive: true }));
const INTERRUPT = '\x03';
const SUSPEND = '\x1a';

async function shell(): Promise<Shell> {
  const env = { ...scenario.env, P: `${bin} run`, GO: join(folder, 'go') };
  const started = await Shell.start({ env });
  scenario.defer(() => started.close());
  return started;
}

/** The quotes keep the echo of the typed line from being taken for the output. */
const READY = 'echo "re"ady';

/** $! of the shell. It may print a notice of a job that has stopped with it. */
async function lastJob(bash: Shell): Promise<number> {
  return Number(/\d+/.exec(await bash.line('echo $!'))?.[0]);
}

/** Of a job that ends before the next prompt the shell would tell then, and know nothing afterwards. */
const LINGER = 'read -r go < "$GO"';

async function backToWork(bash: Shell): Promise<void> {
  bash.type('bg\n');
  await bash.expect(/two.*@>|@>.*two/s);
  await writeFile(join(folder, 'go'), '\n');
}

async function ownsTerminal(bash: Shell): Promise<void> {
  expect(await bash.foreground(), 'the shell has its terminal').toBe(await bash.pid);
}

describe('Ctrl-C', () => {
  it('C3: ends the command, and the shell goes on', async () => {
    const bash = await shell();
    bash.type(`$P sh -c '${READY}; exec sleep 1000'\n`);
    await bash.expect('ready');
    expect(await bash.foreground()).not.toBe(await bash.pid);
    bash.type(INTERRUPT);
    await bash.expect(Shell.PROMPT);
    expect(await bash.status()).toBe(130);
    await ownsTerminal(bash);
  });

  // Not a shell with a trap: that holds a signal back until its `read` returns.
  it.each(['group', 'inherit', 'session'])('C3: is received once with --isolation %s', async (isolation) => {
    const bash = await shell();
    bash.type(`$P --isolation ${isolation} ${member} report-every-signal\n`);
    const [, json = ''] = await bash.expect(/ready (\{.*\})/);
    const command = (JSON.parse(json) as Ready).pid;
    const guardian = stat(command)?.ppid ?? 0;
    bash.type(INTERRUPT);
    await bash.expect('got 2 1');
    // A second one would come from procgroup, and before this: it hands signals on in the order of their numbers, and that
    // is the order in which the command takes them.
    process.kill(guardian, 'SIGUSR2');
    expect((await bash.expect(/(.*?)got 12 1/s))[1]).not.toContain('got 2');
    process.kill(command, 'SIGKILL');
    await bash.expect(Shell.PROMPT);
    expect(await bash.status()).toBe(137);
    await ownsTerminal(bash);
  });
});

describe('Ctrl-Z', () => {
  it('C3: stops the job; fg gives the terminal back to the command', async () => {
    const bash = await shell();
    // The inner shell is ready: its parent is past vfork, where SIGTSTP would not stop it.
    bash.type(`$P sh -c 'sh -c "echo re\\"\\"ady; exec cat"; echo "e"nd'\n`);
    await bash.expect('ready');
    const group = await bash.foreground();
    bash.type(SUSPEND);
    await bash.expect(/Stopped.*@>/s);
    await ownsTerminal(bash);
    expect(stat(group)?.state).toBe('T');
    // The shell waits for its child alone: a cat that has not run since the signal would take the next line with it.
    const stopped = () => scenario.alive().filter(({ pgid, state }) => pgid === group && state === 'T');
    await waitUntil(() => stopped().length === 2 || null, { what: 'sh and cat stopped' });
    bash.type('fg\n');
    await waitUntil(async () => (await bash.foreground()) === group || null, { what: 'the group in the foreground' });
    bash.type('text\n');
    await bash.expect('text\r\ntext');
    bash.type('\x04');
    await bash.expect(/end\s+@>/);
    expect(await bash.status()).toBe(0);
    await ownsTerminal(bash);
  });

  it('C3: twice, then bg: the command runs on in the background and takes no terminal', async () => {
    const bash = await shell();
    bash.type(`$P sh -c '${READY}; kill -TSTP $$; echo on"e"; kill -TSTP $$; echo tw"o"; ${LINGER}; exit 7'\n`);
    await bash.expect(/ready.*Stopped.*@>/s);
    bash.type('fg\n');
    await bash.expect(/one.*Stopped.*@>/s);
    await backToWork(bash);
    await bash.line('wait %1');
    expect(await bash.status()).toBe(7);
    await ownsTerminal(bash);
  });
});

// The one in the job's group may need the terminal, the other cannot.
describe.each(['sleep', 'setsid sleep'])('beside a child of the shell that became procgroup, %s', (helper) => {
  const beside = (command: string) => `(${helper} 1000 & exec $P ${command})\n`;

  it('C3: Ctrl-Z stops the job, fg goes on with it, Ctrl-C ends it', async () => {
    scenario.leaves();
    const bash = await shell();
    bash.type(beside(`sh -c '${READY}; read -r line; echo "got:$line"; exec sleep 2000'`));
    await bash.expect('ready');
    bash.type(SUSPEND);
    await bash.expect(/Stopped.*@>/s);
    await ownsTerminal(bash);
    bash.type('fg\n');
    bash.type('text\n');
    await bash.expect('got:text');
    bash.type(INTERRUPT);
    await bash.expect(Shell.PROMPT);
    expect(await bash.status()).toBe(130);
    await ownsTerminal(bash);
  });

  it('C3: a command that stops itself is continued by fg and by bg', async () => {
    scenario.leaves();
    const bash = await shell();
    bash.type(beside(`sh -c '${READY}; kill -TSTP $$; echo on"e"; kill -STOP $$; echo tw"o"; ${LINGER}; exit 7'`));
    await bash.expect(/ready.*Stopped.*@>/s);
    bash.type('fg\n');
    await bash.expect(/one.*Stopped.*@>/s);
    await backToWork(bash);
    await bash.line('wait %1');
    expect(await bash.status()).toBe(7);
    await ownsTerminal(bash);
  });
});

describe('the background', () => {
  it('C3: read stops the job by SIGTTIN; fg lets it read', async () => {
    const bash = await shell();
    await bash.line(`$P sh -c 'read -r line; echo "got:$line"' &`);
    const job = await lastJob(bash);
    // All of procgroup's threads must have stopped before the shell hears of it.
    await waitUntil(async () => (await bash.line('jobs')).includes('Stopped') || null, { what: 'the job stopped' });
    expect(stat(job)?.state).toBe('T');
    await ownsTerminal(bash);
    bash.type('fg\n');
    bash.type('hello\n');
    await bash.expect('got:hello');
    await bash.expect(Shell.PROMPT);
    await ownsTerminal(bash);
  });

  it('C3: job ends without touching the terminal', async () => {
    const bash = await shell();
    await bash.line(`$P sh -c 'exit 5' &`);
    await bash.line('wait $!');
    expect(await bash.status()).toBe(5);
    await ownsTerminal(bash);
  });

  it('C3: job is killed by the shell’s kill %1', async () => {
    const bash = await shell();
    await bash.line('$P sleep 1000 &');
    const job = await lastJob(bash);
    await waitUntil(() => scenario.alive().some(({ cmdline }) => cmdline === 'sleep 1000') || null, { what: 'sleep' });
    await bash.line(`kill ${job}; wait ${job}`);
    expect(await bash.status()).toBe(143);
  });
});

describe('the window', () => {
  it('C3: change reaches the command', async () => {
    const bash = await shell();
    bash.type(`$P bash -c 'trap "stty size; exit 0" WINCH; ${READY}; while :; do read -r -t 1; done'\n`);
    await bash.expect('ready');
    await bash.resize(33, 99);
    await bash.expect('33 99');
    await bash.expect(Shell.PROMPT);
    expect(await bash.status()).toBe(0);
  });
});

describe('the parent shell keeps its terminal', () => {
  it.each([
    ['after a crash', `sh -c 'ulimit -c 0; kill -SEGV $$'`, 139],
    ['after SIGKILL', `sh -c 'kill -KILL $$'`, 137],
    ['after a command that is not found', '/no/such/file', 127],
    ['after a leader that left others behind', `sh -c 'sleep 1000 & exit 6'`, 6],
    ['after a timeout', '--timeout 100ms sleep 1000', 124],
    ['after a session of its own', '--isolation session true', 0],
    ['after none of its own', '--isolation inherit true', 0],
    ['after an unknown option', '--nope', 125],
  ])('C3: %s', async (_, command, status) => {
    const bash = await shell();
    await bash.line(`$P ${command}`);
    expect(await bash.status()).toBe(status);
    await ownsTerminal(bash);
    bash.type('read -r answer < /dev/tty; echo "answer:$answer"\n');
    bash.type('ours\n');
    await bash.expect('answer:ours');
  });
});

describe('a pipeline', () => {
  it('C3: leaves the terminal to its other parts', async () => {
    const bash = await shell();
    bash.type(`$P seq 3 | sh -c 'cat > /dev/null; ${READY}; read -r line < /dev/tty; echo "got:$line"'\n`);
    await bash.expect('ready');
    bash.type('mine\n');
    await bash.expect('got:mine');
    await bash.expect(Shell.PROMPT);
  });

  it('C3: gives the terminal to a command that reads it', async () => {
    const bash = await shell();
    bash.type(`$P sh -c '${READY}; read -r line; echo "got:$line"' | cat\n`);
    await bash.expect('ready');
    bash.type('mine\n');
    await bash.expect('got:mine');
    await bash.expect(Shell.PROMPT);
    await ownsTerminal(bash);
  });

  it('C3: is interrupted as one', async () => {
    const bash = await shell();
    bash.type(`$P sh -c '${READY}; exec sleep 1000' | cat\n`);
    await bash.expect('ready');
    bash.type(INTERRUPT);
    await bash.expect(Shell.PROMPT);
    await bash.line('true');
    await waitUntil(() => scenario.alive().every(({ cmdline }) => !cmdline.includes('sleep')) || null, {
      what: 'the end',
    });
  });
});

describe('without a shell', () => {
  it('C3: Ctrl-Z does not stop for ever what nobody would continue', async () => {
    const pty = new Pty([bin, 'run', 'sh', '-c', `${READY}; read -r line; echo "got:$line"`], {
      env: scenario.env,
    });
    scenario.defer(() => pty.close());
    await pty.expect('ready');
    pty.type(SUSPEND);
    pty.type('on\n');
    await pty.expect('got:on');
    expect(await pty.end).toEqual({ code: 0, signal: null });
  });

  it('C3: nor beside a child that was there before', async () => {
    scenario.leaves();
    const script = `sleep 1000 & exec ${bin} run sh -c '${READY}; read -r line; echo "got:$line"'`;
    const pty = new Pty(['/bin/sh', '-c', script], { env: scenario.env });
    scenario.defer(() => pty.close());
    await pty.expect('ready');
    pty.type(SUSPEND);
    pty.type('on\n');
    await pty.expect('got:on');
    expect(await pty.end).toEqual({ code: 0, signal: null });
  });

  it('C3: a hang-up ends the command, and the status says so', async () => {
    const pty = new Pty([bin, 'run', 'sh', '-c', `${READY}:$$; exec sleep 1000`], { env: scenario.env });
    scenario.defer(() => pty.close());
    const [, pid] = await pty.expect(/ready:(\d+)\r\n/);
    pty.hangup();
    expect(await pty.end).toEqual({ code: 129, signal: null });
    expect(stat(Number(pid))).toBeNull();
  });
});

describe('the terminal’s modes', () => {
  it('C3: stay as the command leaves them', async () => {
    const bash = await shell();
    await bash.line('$P stty -ixon');
    expect(await bash.line('stty -a')).toContain(' -ixon');
    await bash.line('$P stty ixon');
    expect(await bash.line('stty -a')).toContain(' ixon');
  });
});
