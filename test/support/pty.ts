import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { build } from './paths.mjs';

export interface PtyOptions {
  env?: NodeJS.ProcessEnv;
  rows?: number;
  columns?: number;
  cwd?: string;
}

export interface PtyEnd {
  code: number | null;
  /** Number of the signal that ended the leader, or null. */
  signal: number | null;
}

const EXPECT_MS = 60_000;

/** A program that leads a session on a pty of its own, typed at and read by a test. See native/ptyrun.c. */
export class Pty {
  readonly #tool: ChildProcess;
  readonly #answers: ((value: number) => void)[] = [];
  readonly #pid: Promise<number>;
  readonly #end: Promise<PtyEnd>;
  #watchers: (() => void)[] = [];
  /** Everything the terminal has shown. */
  output = '';
  #seen = 0;

  constructor(command: readonly [string, ...string[]], options: PtyOptions = {}) {
    const { env = process.env, rows = 24, columns = 80, cwd } = options;
    this.#tool = spawn(`${build}ptyrun`, [String(rows), String(columns), ...command], {
      env,
      cwd,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#tool.stdin?.on('error', () => {});
    const lines = createInterface({ input: this.#tool.stdout as NodeJS.ReadableStream });
    let tellPid: (pid: number) => void;
    let tellEnd: (end: PtyEnd) => void;
    this.#pid = new Promise((resolve) => {
      tellPid = resolve;
    });
    this.#end = new Promise((resolve) => {
      tellEnd = resolve;
    });
    const decoder = new TextDecoder();
    lines.on('line', (line) => {
      const [event, value = ''] = line.split(' ');
      if (event === 'out') this.output += decoder.decode(Buffer.from(value, 'hex'), { stream: true });
      else if (event === 'pid') tellPid(Number(value));
      else if (event === 'exit') tellEnd({ code: Number(value), signal: null });
      else if (event === 'signal') tellEnd({ code: null, signal: Number(value) });
      else this.#answers.shift()?.(Number(value));
      for (const watcher of this.#watchers) watcher();
    });
  }

  /** The session's leader. */
  get pid(): Promise<number> {
    return this.#pid;
  }

  get end(): Promise<PtyEnd> {
    return this.#end;
  }

  type(text: string): void {
    this.#tool.stdin?.write(`send ${Buffer.from(text).toString('hex')}\n`);
  }

  /** The terminal hangs up: SIGHUP to the session's leader and to the foreground group. */
  hangup(): void {
    this.#tool.stdin?.write('hangup\n');
  }

  /** The terminal's foreground process group. tcgetpgrp(3). */
  foreground(): Promise<number> {
    return this.#ask('pgrp');
  }

  async resize(rows: number, columns: number): Promise<void> {
    const errno = await this.#ask(`size ${rows} ${columns}`);
    if (errno !== 0) throw new Error(`TIOCSWINSZ: errno ${errno}`);
  }

  #ask(command: string): Promise<number> {
    const answer = new Promise<number>((resolve) => this.#answers.push(resolve));
    this.#tool.stdin?.write(`${command}\n`);
    return answer;
  }

  /** Waits until the terminal shows `what` after the last match, and returns the match. */
  async expect(what: string | RegExp, timeoutMs = EXPECT_MS): Promise<RegExpExecArray> {
    const pattern = typeof what === 'string' ? new RegExp(what.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')) : what;
    const match = await this.#until(() => pattern.exec(this.output.slice(this.#seen)), timeoutMs, String(pattern));
    this.#seen += match.index + match[0].length;
    return match;
  }

  /** What the terminal has shown since the last match. */
  get pending(): string {
    return this.output.slice(this.#seen);
  }

  #until<T>(look: () => T | null, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#watchers = this.#watchers.filter((other) => other !== watcher);
        act();
      };
      const watcher = (): void => {
        const found = look();
        if (found !== null) settle(() => resolve(found));
      };
      const timer = setTimeout(() => {
        settle(() => reject(new Error(`${what} was not shown in ${timeoutMs} ms; shown:\n${this.output}`)));
      }, timeoutMs);
      this.#watchers.push(watcher);
      watcher();
    });
  }

  /** Hangs up, kills the leader's group and waits for the tool's end. */
  async close(): Promise<void> {
    if (this.#tool.exitCode !== null || this.#tool.signalCode !== null) return;
    const ended = once(this.#tool, 'exit');
    this.#tool.stdin?.end();
    await ended;
  }
}

/** An interactive bash with job control. Its prompt is PROMPT, which no echo of a typed line contains. */
export class Shell extends Pty {
  static readonly PROMPT = '@>';

  static async start(options: PtyOptions = {}): Promise<Shell> {
    const env = { ...(options.env ?? process.env), TERM: 'dumb', LC_ALL: 'C.UTF-8', HISTFILE: '' };
    const shell = new Shell(['bash', '--norc', '--noprofile', '--noediting', '-i'], { ...options, env });
    // The quotes keep the echo of this line from looking like the prompt.
    shell.type("PS1='@''>'\n");
    await shell.expect(Shell.PROMPT);
    return shell;
  }

  /** Types a line and waits for the prompt after it; returns what was shown between. */
  async line(text: string): Promise<string> {
    this.type(`${text}\n`);
    await this.expect(text.slice(-20));
    const match = await this.expect(new RegExp(`(.*?)${Shell.PROMPT}`, 's'));
    return (match[1] ?? '').replaceAll('\r\n', '\n').trim();
  }

  /** $? of the last command, from the shell itself. */
  async status(): Promise<number> {
    return Number((await this.line('echo "status:"$?')).replace('status:', ''));
  }
}
