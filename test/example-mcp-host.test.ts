// examples/mcp-host: no MCP server outlives its client, however it was started and however the client ends.
import { expect, it } from 'vitest';
import { EXAMPLE_MS, runExample } from './support/example.js';
import { waitUntil } from './support/oracle.js';
import { root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

/** A host with a client; connect(command, ...args) connects it to a server over our transport. */
function subject(body: string): { source: string } {
  return {
    source: `
      import { Client } from '@modelcontextprotocol/sdk/client/index.js';
      import { ProcessGroupTransport } from ${JSON.stringify(`${root}examples/mcp-host/transport.mjs`)};
      const server = ${JSON.stringify(`${root}examples/mcp-host/server.mjs`)};
      const mark = process.env.PROCGROUP_TEST_MARK;
      const alive = () => oracle.alive(mark).length;
      let client;
      const errors = [];
      let closed = 0;
      let transport;
      const connect = (command, ...args) => {
        client = new Client({ name: 'test', version: '1.0.0' });
        client.onerror = (error) => errors.push(error.name);
        client.onclose = () => closed++;
        transport = new ProcessGroupTransport({ command, args, env: process.env, stderr: 'ignore', graceMs: 200 });
        return client.connect(transport);
      };
      const where = async () => (await client.callTool({ name: 'where', arguments: {} })).content[0].text;
      ${body}`,
  };
}

const seen = (body: string) => runNodeJson<Record<string, unknown>>(subject(body), { env: scenario.env });

it('mcp-host: through node, npx and a shell: the SDK leaves processes, the transport over procgroup none', {
  timeout: EXAMPLE_MS,
}, async () => {
  const shown = await runExample(scenario, 'mcp-host/main.mjs');
  const [before = '', after = ''] = shown.split('With the transport over procgroup:');
  for (const way of ['node server.mjs', 'npx demo-mcp-server', "sh -c 'node server.mjs; ...'"]) {
    const line = (part: string) => part.split('\n').find((text) => text.startsWith(`  ${way}: `));
    expect(line(before), 'control').toMatch(/ [1-9] of \d processes left/);
    expect(line(after)).toMatch(/ 0 of [3-9] processes left, its port is free$/);
  }
  expect(before, 'control').toContain('its port still answers');
  expect(scenario.alive()).toEqual([]);
});

it('mcp-host: close() is one, whoever calls it', async () => {
  const result = await seen(`
    await connect(process.execPath, server);
    const url = await where();
    const before = alive();
    await Promise.all([client.close(), transport.close(), transport[Symbol.asyncDispose]()]);
    const { empty, cause } = transport.report;
    const late = await transport.send({ jsonrpc: '2.0', method: 'x' }).catch((error) => error.message);
    const free = await fetch(url).then(() => false, () => true);
    console.log(JSON.stringify({ before, after: alive(), closed, empty, cause, late, free, errors }));`);
  expect(result).toMatchObject({ after: 0, closed: 1, empty: true, cause: 'stop', late: 'not connected', free: true });
  expect(result.before, 'control: guardian, server and its helper').toBe(3);
  expect(result.errors).toEqual([]);
});

it('mcp-host: a server that dies ends the connection, and its helpers with it, also one that holds its stdout', async () => {
  const result = await seen(`
    await connect('sh', '-c', 'sleep 3600 & exec "$0" "$1"', process.execPath, server);
    const before = alive();
    process.kill(transport.pid, 'SIGSTOP');
    const pending = where().catch((error) => error.constructor.name);
    process.kill(transport.pid, 'SIGKILL');
    const failed = await pending;
    await transport.close();
    console.log(JSON.stringify({ before, failed, after: alive(), closed }));`);
  expect(result).toEqual({ before: 4, failed: 'McpError', after: 0, closed: 1 });
});

it('mcp-host: a server that cannot be started, and a close() while it starts', async () => {
  const result = await seen(`
    const missing = await connect('no-such-mcp-server').catch((error) => error.code);
    const starting = connect(process.execPath, server).catch((error) => error.name);
    await transport.close();
    const left = alive();
    const aborted = await starting;
    console.log(JSON.stringify({ missing, aborted, left }));`);
  expect(result).toEqual({ missing: 'ENOENT', aborted: 'AbortError', left: 0 });
});

it('mcp-host: a line that is no message is told and skipped', async () => {
  const result = await seen(`
    await connect('sh', '-c', 'echo Server is starting; exec "$0" "$1"', process.execPath, server);
    const url = await where();
    await client.close();
    console.log(JSON.stringify({ url, errors, after: alive() }));`);
  expect(result).toMatchObject({ errors: ['SyntaxError'], after: 0 });
  expect(result.url).toMatch(/^http:/);
});

it('mcp-host: a host that is SIGKILLed leaves nothing', async () => {
  const host = startNode(
    subject("await connect(process.execPath, server); await where(); process.stdout.write('ready {}\\n');"),
    { env: scenario.env },
  );
  await readReady(host.stdout as NonNullable<typeof host.stdout>);
  expect(scenario.alive().length, 'control: host, guardian, server, helper').toBe(4);
  host.kill('SIGKILL');
  await waitUntil(() => scenario.alive().length === 0, { what: 'nothing of the host is left' });
});
