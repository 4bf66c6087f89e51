// Real users of child_process, from npm, under the preload: each does what its users do. That the engine starts their children is
// counted in the same process.
import { describe, expect, it } from 'vitest';
import { waitUntil } from './support/oracle.js';
import { dist, member, root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNode, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const register = `file://${dist}register.js`;

/** Sees who starts the children of the subject, and prints what it gives as JSON. */
const counted = (source: string) => `
  import { subscribe } from 'node:diagnostics_channel';
  const started = { engine: 0, node: 0 };
  subscribe('child_process', ({ process: child }) => {
    process.nextTick(() => {
      if (child._handle) started[Symbol.for('procgroup.child_process.handle') in child._handle ? 'engine' : 'node']++;
    });
  });
  const member = ${JSON.stringify(member)};
  const seen = await (async () => { ${source} })();
  console.log(JSON.stringify({ started, seen }));
  process.exit();
`;

const users: Record<string, [source: string, seen: unknown]> = {
  execa: [
    `const { execa, execaNode, $ } = await import('execa');
     const { stdout } = await execa('echo', ['hello']);
     const { stdout: upper } = await execa({ input: 'input' })\`tr a-z A-Z\`;
     const piped = await execa('printf', ['b\\na\\n']).pipe('sort');
     const failed = await execa('sh', ['-c', 'echo out; exit 3'], { reject: false });
     const missing = await execa('no-such-program', { reject: false });
     const timed = await execa('sleep', ['1000'], { timeout: 50, reject: false });
     const controller = new AbortController();
     const cancelled = execa('sleep', ['1000'], { cancelSignal: controller.signal, reject: false });
     controller.abort();
     const lines = [];
     for await (const line of execa('printf', ['1\\n2\\n'])) lines.push(line);
     const child = execaNode({ ipc: true, nodeOptions: ['--input-type=module'] })\`-e \${"process.once('message', (m) => process.send(m + 1, () => process.disconnect()))"}\`;
     await child.sendMessage(1);
     const answer = await child.getOneMessage();
     await child;
     const killed = execa('sleep', ['1000'], { reject: false });
     killed.kill('SIGKILL');
     return [stdout, upper, piped.stdout, failed.exitCode, missing.code, timed.timedOut, (await cancelled).isCanceled, lines, answer, (await killed).signal, (await $\`echo $0\`).exitCode];`,
    ['hello', 'INPUT', 'a\nb', 3, 'ENOENT', true, true, ['1', '2'], 2, 'SIGKILL', 0],
  ],
  'cross-spawn': [
    `const { default: spawn } = await import('cross-spawn');
     const { once } = await import('node:events');
     const child = spawn('sh', ['-c', 'exit 4']);
     const [code] = await once(child, 'close');
     const [error] = await new Promise((resolve) => spawn('no-such-program').on('error', (...all) => resolve(all)));
     return [code, error.code, spawn.sync('echo', ['x'], { encoding: 'utf8' }).stdout];`,
    [4, 'ENOENT', 'x\n'],
  ],
  concurrently: [
    `const { default: concurrently } = await import('concurrently');
     const { Writable } = await import('node:stream');
     const outputStream = new Writable({ write: (chunk, encoding, done) => done() });
     const { result } = concurrently(['echo one', 'echo two'], { outputStream });
     const ends = (await result).map(({ exitCode }) => exitCode);
     const others = concurrently(['exec sleep 1000', 'sh -c "exit 3"'], { outputStream, killOthersOn: ['failure'] });
     const failed = await others.result.catch((events) => events.map(({ exitCode }) => exitCode));
     return [ends, failed.sort()];`,
    [
      [0, 0],
      [3, 'SIGTERM'],
    ],
  ],
  zx: [
    `const { $, within } = await import('zx');
     $.verbose = false;
     const { stdout } = await $\`echo \${'a b'}\`;
     const piped = await $\`printf 'b\\na\\n'\`.pipe($\`sort\`);
     const failed = await $({ nothrow: true })\`exit 5\`;
     const timed = await $({ nothrow: true, timeout: '100ms' })\`sleep 1000\`;
     const killed = $({ nothrow: true })\`sleep 1000\`;
     await new Promise((resolve) => setImmediate(resolve));
     await killed.kill('SIGKILL');
     return [stdout, piped.stdout, failed.exitCode, timed.signal, (await killed).signal, $.sync\`echo sync\`.stdout];`,
    ['a b\n', 'a\nb\n', 5, 'SIGTERM', 'SIGKILL', 'sync\n'],
  ],
  tinyexec: [
    `const { x } = await import('tinyexec');
     const { stdout, exitCode } = await x('echo', ['a']);
     const lines = [];
     for await (const line of x('printf', ['1\\n2\\n'])) lines.push(line);
     const child = x('sleep', ['1000']);
     child.kill();
     await child;
     const timed = await x('sleep', ['1000'], { timeout: 50 }).then(() => 'ended', (error) => error.name);
     const failed = await x('sh', ['-c', 'exit 3'], { throwOnError: true }).then(() => 0, (error) => error.exitCode);
     return [stdout, exitCode, lines, child.killed, typeof timed, failed];`,
    ['a\n', 0, ['1', '2'], true, 'string', 3],
  ],
  'the MCP SDK': [
    `const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
     const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
     const transport = new StdioClientTransport({ command: process.execPath, args: [${JSON.stringify(`${root}test/support/drop-in/mcp-server.mjs`)}] });
     const client = new Client({ name: 'test', version: '1' });
     await client.connect(transport);
     const { tools } = await client.listTools();
     const { content } = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
     const pid = typeof transport.pid;
     await client.close();
     return [tools.map(({ name }) => name), content[0].text, pid];`,
    [['add'], '5', 'number'],
  ],
};

describe('clients under the preload', () => {
  const scenario = useScenario();

  for (const [name, [source, seen]] of Object.entries(users)) {
    it.each(['', 'tree'])(`${name}, PROCGROUP_CONTAINMENT='%s'`, async (containment) => {
      const run = await runNode(
        { source: counted(source) },
        { env: { ...scenario.env, PROCGROUP_CONTAINMENT: containment }, nodeArgs: ['--import', register], bare: true },
      );
      expect(run.code, run.stderr).toBe(0);
      const result = JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '') as {
        started: Record<string, number>;
        seen: unknown;
      };
      expect(result.seen).toEqual(seen);
      expect(result.started.engine).toBeGreaterThan(0);
      expect(result.started.node).toBe(0);
    });
  }

  /** Starts a member that leaves its session by way of a client, in a process that is then killed. */
  const holds: Record<string, string> = {
    execa: "const { execa } = await import('execa'); execa(member, ['-r', '1', 'setsid'], { stdout: 'inherit' });",
    'cross-spawn':
      "const { default: spawn } = await import('cross-spawn'); spawn(member, ['-r', '1', 'setsid'], { stdio: ['ignore', 'inherit', 'ignore'] });",
    zx: `const { $ } = await import('zx'); $({ stdio: ['ignore', 'inherit', 'ignore'] })\`\${member} -r 1 setsid\`;`,
    tinyexec:
      "const { x } = await import('tinyexec'); x(member, ['-r', '1', 'setsid'], { nodeOptions: { stdio: ['ignore', 'inherit', 'ignore'] } });",
    concurrently:
      "const { default: concurrently } = await import('concurrently'); concurrently([{ command: member + ' -r 1 setsid', raw: true }]);",
    'the MCP SDK': `const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
      await new StdioClientTransport({ command: 'sh', args: ['-c', member + ' -r 2 setsid'], stderr: 'inherit', env: process.env }).start();`,
  };

  for (const [name, source] of Object.entries(holds)) {
    it(`SIGKILL of a process that uses ${name} leaves nothing under PROCGROUP_CONTAINMENT=tree`, async () => {
      const end = async (containment: string) => {
        const subject = startNode(
          { source: `const member = ${JSON.stringify(member)}; ${source}` },
          {
            env: { ...scenario.env, PROCGROUP_CONTAINMENT: containment },
            nodeArgs: ['--import', register],
            bare: true,
          },
        );
        await readReady((name === 'the MCP SDK' ? subject.stderr : subject.stdout) as never);
        subject.kill('SIGKILL');
        await new Promise((resolve) => subject.once('exit', resolve));
      };
      await end('tree');
      await waitUntil(() => scenario.alive().length === 0);
      scenario.leaves();
      await end('');
      expect(scenario.alive().length, 'control: without it something is left').toBeGreaterThan(0);
    });
  }
});
