// The program of a workload's process. It loads nothing of the engine. See workload-channel.ts for what it is told and tells.
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { CHANNEL_FD, frame, type Message, messages, send } from './workload-channel.js';
import { decodeThrown, encodeThrown, textOf } from './workload-envelope.js';
import { fault } from './workload-error.js';

type Call = Extract<Message, { kind: 'call' }>;
type Workload = (payload: unknown, given: typeof context) => unknown;
/** Node's exit code for an await that can never settle. */
const UNSETTLED = 13;

const channel = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });
const controller = new AbortController();
let limit: number | undefined;
let settled = false;

/** What a stream has in our own buffers is lost where the process ends. */
const flush = (stream: Writable) =>
  new Promise<void>((resolve) => (stream.writableLength > 0 ? stream.write('', () => resolve()) : resolve()));

/** The last message; then the process ends, whatever still keeps its loop alive. */
function settle(answer: Buffer[]): void {
  if (settled) return;
  settled = true;
  channel.ref();
  send(channel, answer);
  channel.end(async () => {
    await Promise.all([process.stdout, process.stderr].map(flush));
    process.exit();
  });
}

function failure(error: unknown): Buffer[] {
  try {
    return frame({ kind: 'failure', error: encodeThrown(error) }, limit);
  } catch (cause) {
    const short = fault('TOO_LARGE', `${(cause as Error).message}: ${textOf(error).slice(0, 2_000)}`);
    return frame({ kind: 'failure', error: encodeThrown(short) });
  }
}

const context = {
  /** Who asks for it may wait for nothing else: from then on the channel keeps the process alive. */
  get signal(): AbortSignal {
    channel.ref();
    return controller.signal;
  },
  progress(value: unknown): Promise<void> {
    const message = frame({ kind: 'progress', progress: value }, limit);
    return new Promise((resolve) => (settled ? resolve() : send(channel, message, resolve)));
  },
};

async function load(module: string): Promise<Record<string, unknown>> {
  try {
    return await import(module);
  } catch (cause) {
    throw fault('LOAD', `cannot load ${module}: ${textOf((cause as Error)?.message)}`, { cause });
  }
}

async function perform({ module, exportName, payload }: Call): Promise<void> {
  try {
    const namespace = await load(module);
    // Also of a CommonJS module whose names Node cannot tell beforehand.
    const holders = [namespace, Object(namespace.default)].filter((holder) => Object.hasOwn(holder, exportName));
    const workload = holders.map((holder) => holder[exportName]).find((one) => typeof one === 'function');
    if (workload === undefined) throw fault('EXPORT', `${module} exports no function '${exportName}'`);
    send(channel, frame({ kind: 'begun' }));
    channel.unref();
    settle(frame({ kind: 'value', result: await (workload as Workload)(payload, context) }, limit));
  } catch (error) {
    settle(failure(error));
  }
}

async function serve(): Promise<void> {
  for await (const message of messages(channel)) {
    if (message.kind === 'prepare') {
      limit = message.limit;
      try {
        for (const module of message.preload) await load(module);
        send(channel, frame({ kind: 'ready' }));
      } catch (error) {
        settle(failure(error));
      }
    } else if (message.kind === 'call') {
      void perform(message); // an abort may come meanwhile
    } else if (message.kind === 'abort') controller.abort(decodeThrown(message.reason));
  }
}

process.on('uncaughtExceptionMonitor', (error) => {
  if (settled || process.listenerCount('uncaughtException') > 0) return;
  settled = true;
  // Written at once where nothing waits before it; the process ends when this listener returns.
  send(channel, failure(error));
});
process.on('beforeExit', () => {
  if (!settled) process.exitCode ??= UNSETTLED;
});

// It always rejects: the channel ends with the process at its other end.
serve().catch(() => settled || process.exit(1));
