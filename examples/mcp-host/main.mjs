// node examples/mcp-host/main.mjs: one MCP server, started in three ways; what lives after client.close(), first with the
// SDK's own stdio transport, then with one over procgroup. Needs no network: npx finds the server in node_modules/.bin.
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { endMarked, marked, markedEnv } from '../demo/marked.mjs';
import { ProcessGroupTransport } from './transport.mjs';

const server = fileURLToPath(new URL('server.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mcp-host-'));
mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true });
writeFileSync(join(folder, 'package.json'), '{ "name": "host", "private": true }\n');
symlinkSync(server, join(folder, 'node_modules/.bin/demo-mcp-server'));
const npm = { cache: join(folder, 'npm'), offline: 'true', update_notifier: 'false' };
const npmEnv = Object.fromEntries(Object.entries(npm).map(([name, value]) => [`npm_config_${name}`, value]));

const ways = [
  ['node server.mjs', process.execPath, [server]],
  ['npx demo-mcp-server', 'npx', ['--no-install', 'demo-mcp-server']],
  ["sh -c 'node server.mjs; ...'", 'sh', ['-c', '"$0" "$1"; exit $?', process.execPath, server]],
];
const marks = [];

/** Connects, calls a tool, closes; then looks who is there. */
async function session([name, command, args], Transport) {
  const mark = randomUUID();
  marks.push(mark);
  const client = new Client({ name: 'host', version: '1.0.0' });
  const env = { ...markedEnv(mark), ...npmEnv };
  await client.connect(new Transport({ command, args, env, cwd: folder, stderr: 'ignore' }));
  const { content } = await client.callTool({ name: 'where', arguments: {} });
  const count = marked(mark).length;
  const begin = performance.now();
  await client.close();
  const seconds = ((performance.now() - begin) / 1_000).toFixed(1);
  const left = marked(mark).length;
  const up = await fetch(content[0].text, { signal: AbortSignal.timeout(2_000) }).then(
    ({ ok }) => ok,
    () => false,
  );
  const port = up ? 'its port still answers' : 'its port is free';
  return { left, up, line: `  ${name}: closed after ${seconds} s, ${left} of ${count} processes left, ${port}` };
}

async function all(title, Transport) {
  console.log(title);
  const sessions = await Promise.all(ways.map((way) => session(way, Transport)));
  for (const { line } of sessions) console.log(line);
  return sessions.every(({ left, up }) => left === 0 && !up);
}

async function cleanUp() {
  const clean = await Promise.all(marks.map(endMarked));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  return clean.every(Boolean);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => cleanUp().finally(() => process.exit(1)));
let proved = false;
let clean = false;
try {
  await all('With the StdioClientTransport of @modelcontextprotocol/sdk:', StdioClientTransport);
  proved = await all('\nWith the transport over procgroup:', ProcessGroupTransport);
} finally {
  clean = await cleanUp();
}
process.exitCode = proved && clean ? 0 : 1;
