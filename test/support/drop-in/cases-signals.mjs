// kill(), signal, timeout, dispose.
import { once } from 'node:events';
import { settle } from './settle.mjs';

const sleeper = 'echo ready; while :; do sleep 1000 & wait; done';
const sleep = async (cp, options) => {
  const child = cp.spawn('sleep', ['1000'], options);
  await once(child, 'spawn');
  return child;
};
const killed =
  (...args) =>
  async ({ cp, watch, errorOf }) => {
    const child = await sleep(cp);
    const seen = watch(child);
    let answer;
    try {
      answer = child.kill(...args);
    } catch (error) {
      answer = errorOf(error);
      child.kill('SIGKILL');
    }
    return { answer, killed: child.killed, ...(await seen) };
  };

export const cases = {
  'kill()': killed(),
  'kill(undefined)': killed(undefined),
  'kill SIGKILL': killed('SIGKILL'),
  'kill sigint': killed('sigint'),
  'kill by number': killed(9),
  'kill(0) sends nothing': async ({ cp, watch }) => {
    const child = await sleep(cp);
    const seen = watch(child);
    const first = [child.kill(0), child.killed];
    child.kill('SIGKILL');
    return { first, ...(await seen) };
  },
  'kill of an unknown name': killed('SIGNO'),
  'kill of an unknown number': killed(77),
  'kill of a wrong type': killed({}),
  'kill null': killed(null),
  'kill empty': killed(''),
  'kill twice': async ({ cp, watch }) => {
    const child = await sleep(cp);
    const seen = watch(child);
    return { answers: [child.kill(), child.kill(), child.kill(0)], ...(await seen) };
  },
  'kill in the same turn': async ({ cp, watch }) => {
    const child = cp.spawn('sleep', ['1000']);
    return { answer: child.kill('SIGKILL'), ...(await watch(child)) };
  },
  'kill after exit': async ({ cp, watch }) => {
    const child = cp.spawn('true');
    const seen = await watch(child);
    return { answers: [child.kill(), child.kill(0), child.killed], seen };
  },
  'kill within exit': async ({ cp, watch }) => {
    const child = cp.spawn('true');
    const answers = [];
    child.on('exit', () => answers.push(child.kill(), child.kill(0), child.killed));
    return { answers, ...(await watch(child)) };
  },
  'kill of a zombie': async ({ cp, watch }) => {
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    settle(child);
    return { answers: [child.kill(0), child.killed, child.kill(), child.killed], ...(await watch(child)) };
  },
  'SIGTERM that is ignored': async ({ cp, watch, member }) => {
    const child = cp.spawn(member, ['ignore-term']);
    await once(child.stdout, 'data');
    const seen = watch(child, { read: false });
    const answers = [child.kill(), child.killed];
    child.kill('SIGKILL');
    return { answers, ...(await seen) };
  },
  'SIGSTOP and SIGCONT are no end': async ({ cp, watch }) => {
    const child = await sleep(cp);
    const seen = watch(child);
    const answers = [child.kill('SIGSTOP'), child.kill('SIGCONT'), child.killed];
    child.kill();
    return { answers, ...(await seen) };
  },
  'kill of a detached child is the child alone': async ({ cp, watch }) => {
    const child = cp.spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!; wait'], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [line] = await once(child.stdout, 'data');
    const seen = watch(child, { read: false, until: 'exit' });
    child.kill('SIGKILL');
    const result = await seen;
    const alive = process.kill(Number(line), 0);
    process.kill(Number(line), 'SIGKILL');
    return { alive, result };
  },
  dispose: async ({ cp, watch }) => {
    const child = await sleep(cp);
    const seen = watch(child);
    child[Symbol.dispose ?? Symbol.for('Symbol.dispose')]?.();
    const { killed } = child;
    child.kill('SIGKILL');
    return { killed, last: (await seen).last.killed };
  },
  AbortSignal: async ({ cp, watch }) => {
    const controller = new AbortController();
    const child = cp.spawn('sleep', ['1000'], { signal: controller.signal });
    const seen = watch(child);
    await once(child, 'spawn');
    controller.abort(new Error('enough'));
    return seen;
  },
  'AbortSignal aborted before': ({ cp, watch }) =>
    watch(cp.spawn('sleep', ['1000'], { signal: AbortSignal.abort('why') })),
  'AbortSignal in the same turn': async ({ cp, watch }) => {
    const controller = new AbortController();
    const child = cp.spawn('sleep', ['1000'], { signal: controller.signal, killSignal: 'SIGKILL' });
    const seen = watch(child);
    controller.abort();
    return seen;
  },
  'AbortSignal after the end': async ({ cp, watch }) => {
    const controller = new AbortController();
    const seen = await watch(cp.spawn('true', [], { signal: controller.signal }));
    controller.abort();
    return seen;
  },
  'AbortSignal of what never started': ({ cp, watch }) =>
    watch(cp.spawn('no-such-program', [], { signal: AbortSignal.abort() })),
  killSignal: async ({ cp, watch }) => {
    const controller = new AbortController();
    const child = cp.spawn('sleep', ['1000'], { signal: controller.signal, killSignal: 'SIGHUP' });
    const seen = watch(child);
    controller.abort();
    return seen;
  },
  'killSignal by number': ({ cp, watch }) => watch(cp.spawn('sleep', ['1000'], { timeout: 20, killSignal: 2 })),
  timeout: ({ cp, watch }) => watch(cp.spawn('sleep', ['1000'], { timeout: 20 })),
  'timeout that is not reached': ({ cp, watch }) => watch(cp.spawn('true', [], { timeout: 60_000 })),
  'a group that the child leads': async ({ cp, watch }) => {
    const child = cp.spawn('/bin/sh', ['-c', sleeper], { detached: true });
    await once(child.stdout, 'data');
    const seen = watch(child, { read: false });
    process.kill(-child.pid, 'SIGKILL');
    return seen;
  },
};
