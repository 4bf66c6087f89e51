// A stdio transport for the MCP SDK's Client. After close() nothing of the server lives: not what npx or a shell put between,
// not what the server started itself. Dies with this process as well, however that ends.
import { setTimeout as delay } from 'node:timers/promises';
import { getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js';
import { spawn } from 'procgroup';

/** @implements {import('@modelcontextprotocol/sdk/shared/transport.js').Transport} */
export class ProcessGroupTransport {
  onmessage;
  onclose;
  onerror;
  /** The teardown's report, once close() has resolved. */
  report;
  #server;
  #group;
  #buffer = new ReadBuffer();
  #starting;
  #cancel = new AbortController();
  #closing;
  #open = true;

  /**
   * As the SDK's StdioClientTransport takes it: command, args, env (added to a few of ours), cwd, stderr. `patienceMs`: how
   * long a server that heeds the end of its input is waited for. `graceMs`: from SIGTERM to SIGKILL.
   */
  constructor({
    command,
    args = [],
    env = {},
    cwd = process.cwd(),
    stderr = 'inherit',
    patienceMs = 500,
    graceMs = 1_000,
  }) {
    this.#server = { command, args, env, cwd, stderr, patienceMs, graceMs };
  }

  get pid() {
    return this.#group?.pid ?? null;
  }

  async start() {
    if (this.#starting !== undefined) throw new Error('the transport has been started already');
    const { command, args, env, cwd, stderr, graceMs } = this.#server;
    this.#starting = spawn(command, args, {
      cwd,
      env: { ...getDefaultEnvironment(), ...env },
      stdio: ['pipe', 'pipe', stderr],
      containment: 'tree', // also a helper that left the group, or whose parent has gone
      drainMs: 500, // the command has ended: who still holds its output is no server
      teardown: [{ signal: 'SIGTERM', graceMs }],
      signal: this.#cancel.signal,
    });
    const group = await this.#starting;
    this.#group = group;
    group.stdin.on('error', (error) => this.onerror?.(error));
    group.stdout.on('error', (error) => this.onerror?.(error));
    group.stdout.on('data', (chunk) => this.#read(chunk));
    group.stdout.on('close', () => void this.close());
  }

  #read(chunk) {
    try {
      this.#buffer.append(chunk);
    } catch (error) {
      this.onerror?.(error); // a message without end
      void this.close();
      return;
    }
    for (;;) {
      try {
        const message = this.#buffer.readMessage();
        if (message === null) return;
        this.onmessage?.(message);
      } catch (error) {
        this.onerror?.(error); // no message: the line is skipped
      }
    }
  }

  send(message) {
    const stdin = this.#open ? this.#group?.stdin : undefined;
    if (stdin === undefined) return Promise.reject(new Error('not connected'));
    return new Promise((resolve, reject) => {
      stdin.write(serializeMessage(message), (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The end of its input, then the ladder. Resolves when the whole tree is gone; once, however often it is called. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    if (this.#group === undefined) this.#cancel.abort(); // start() rejects, and nothing is left of it
    const group = await this.#starting?.catch(() => {});
    if (group !== undefined) {
      group.stdin.end();
      const patience = new AbortController();
      const late = delay(this.#server.patienceMs, undefined, { signal: patience.signal }).catch(() => {});
      await Promise.race([group.gone, late]);
      patience.abort();
      this.report = await group.stop();
    }
    this.#open = false;
    this.#buffer.clear();
    this.onclose?.();
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}
