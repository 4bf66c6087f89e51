#!/usr/bin/env node
// An MCP server as they are found in the wild: beside stdio it has a port and a helper, and so outlives the end of its input.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const helper = spawn('sleep', ['3600'], { stdio: 'ignore' }); // a browser, say
const port = createServer((_, response) => response.end('still here\n'));
await Promise.all([once(helper, 'spawn'), once(port.listen(0, '127.0.0.1'), 'listening')]);

const server = new Server({ name: 'demo', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [{ name: 'where', description: 'Tells its port', inputSchema: { type: 'object', properties: {} } }],
}));
server.setRequestHandler(CallToolRequestSchema, () => ({
  content: [{ type: 'text', text: `http://127.0.0.1:${port.address().port}/` }],
}));
await server.connect(new StdioServerTransport());
