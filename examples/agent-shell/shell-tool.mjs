// A coding agent's shell tool. A command may time out, be aborted, print without end, and leave servers running for the next
// command. Whatever it started, also what a shell put into the background or a new session, is gone after close().
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from 'procgroup';

/** How long the output of a background process is waited for when the command itself has ended. */
const QUIET_MS = 100;

/** The first and the last half of `maxBytes`. What lies between is counted and dropped. */
class CappedText {
  #half;
  #head = [];
  #tail = [];
  #headBytes = 0;
  #tailBytes = 0;
  omittedBytes = 0;

  constructor(maxBytes) {
    this.#half = Math.ceil(maxBytes / 2);
  }

  add(chunk) {
    const head = chunk.subarray(0, this.#half - this.#headBytes);
    const tail = chunk.subarray(head.length).subarray(-this.#half);
    this.omittedBytes += chunk.length - head.length - tail.length;
    if (head.length > 0) this.#head.push(head);
    this.#headBytes += head.length;
    if (tail.length > 0) this.#tail.push(tail);
    this.#tailBytes += tail.length;
    for (let extra = this.#tailBytes - this.#half; extra > 0; extra = this.#tailBytes - this.#half) {
      const first = this.#tail.shift();
      const dropped = Math.min(extra, first.length);
      if (dropped < first.length) this.#tail.unshift(first.subarray(dropped));
      this.#tailBytes -= dropped;
      this.omittedBytes += dropped;
    }
  }

  toString() {
    const gap = this.omittedBytes > 0 ? [Buffer.from(`\n[... ${this.omittedBytes} bytes omitted ...]\n`)] : [];
    return Buffer.concat([...this.#head, ...gap, ...this.#tail]).toString();
  }
}

export class ShellTool {
  #options;
  #maxBytes;
  #starting = new Set();
  #jobs = new Set();
  #closed = false;

  /** `maxBytes`: of the output kept of each command. `graceMs`: from SIGTERM to SIGKILL. */
  constructor({ cwd = process.cwd(), env = process.env, maxBytes = 30_000, graceMs = 2_000 } = {}) {
    this.#maxBytes = maxBytes;
    this.#options = {
      cwd,
      env,
      containment: 'tree', // also what calls setsid or forks twice
      isolation: 'session', // no terminal: a question for a password fails instead of waiting for ever
      stdio: ['ignore', 'pipe', 'pipe'],
      drainMs: Number.POSITIVE_INFINITY, // a server in the background may go on printing
      teardown: [{ signal: 'SIGTERM', graceMs }],
    };
  }

  /**
   * Runs a command line and resolves when it has ended, or has been ended. What it left in the background runs on, unless
   * the command timed out or was aborted. `ended`: 'exit', 'timeout' or 'abort'.
   */
  async run(command, { timeoutMs = 120_000, signal } = {}) {
    if (this.#closed) throw new Error('the shell is closed');
    signal?.throwIfAborted();
    const group = await this.#start(command);
    const text = new CappedText(this.#maxBytes);
    group.stdout.on('data', (chunk) => text.add(chunk));
    const ended = await this.#foreground(group, timeoutMs, signal);
    if (ended !== 'exit') await group.stop();
    const { code, signal: killedBy } = await group.exited;
    // Its own output has been written by now; somebody in the background may hold the pipe open.
    await Promise.race([group.closed, delay(QUIET_MS)]);
    const background = (await group.members()).map(({ pid, comm }) => ({ pid, comm }));
    return { ended, code, signal: killedBy, output: String(text), omittedBytes: text.omittedBytes, background };
  }

  async #start(command) {
    // In one stream, so that errors stand where they happened. A line of its own: the command may be no valid shell.
    const starting = spawn('/bin/sh', ['-c', `exec 2>&1\n${command}`], this.#options);
    this.#starting.add(starting);
    try {
      const group = await starting;
      this.#jobs.add(group);
      void group.gone.then(() => this.#jobs.delete(group));
      return group;
    } finally {
      this.#starting.delete(starting);
    }
  }

  /** What ends the command itself. Not the options of spawn(): those would later end what it left in the background. */
  async #foreground(group, timeoutMs, signal) {
    const done = new AbortController();
    const late = delay(timeoutMs, 'timeout', { signal: done.signal });
    const aborted = new Promise((resolve) => {
      signal?.addEventListener('abort', () => resolve('abort'), { once: true, signal: done.signal });
      if (signal?.aborted) resolve('abort');
    });
    try {
      return await Promise.race([group.exited.then(() => 'exit'), late, aborted]);
    } finally {
      done.abort();
      late.catch(() => {});
    }
  }

  /** Ends everything that any command has left or is about to start, in parallel, and gives the teardown reports. */
  async close() {
    this.#closed = true;
    await Promise.allSettled(this.#starting);
    return Promise.all([...this.#jobs].map((group) => group.stop()));
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}
