// Whatever supervise() refuses it refuses at the call, by a typed error, and leaves nothing.
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { type SuperviseOptions, supervise } from '../dist/supervise.js';
import { dist, member } from './support/paths.mjs';
import { footprint, useScenario } from './support/scenario.js';

const scenario = useScenario();
const beat = () => true;
const bad: [string, unknown, string][] = [
  ['options', null, 'ERR_INVALID_ARG_TYPE'],
  ['options', 'x', 'ERR_INVALID_ARG_TYPE'],
  ['a spawn option', { cwd: 1 }, 'ERR_INVALID_ARG_TYPE'],
  ['a signal', { signal: {} }, 'ERR_INVALID_ARG_TYPE'],
  ['containment', { containment: 'box' as 'tree' }, 'ERR_INVALID_ARG_VALUE'],
  ['stdio', { stdio: 'pipe' }, 'ERR_INVALID_ARG_VALUE'],
  ['lifetime', { lifetime: 'releasable' }, 'ERR_INVALID_ARG_VALUE'],
  ['leaseMs', { leaseMs: 1 }, 'ERR_INVALID_ARG_VALUE'],
  ['stdin', { stdin: 'pipe' }, 'ERR_INVALID_ARG_VALUE'],
  ['lease', { lease: 1 }, 'ERR_INVALID_ARG_TYPE'],
  ['lease', { lease: {} }, 'ERR_INVALID_ARG_TYPE'],
  ['lease.leaseMs', { lease: { beat } }, 'ERR_INVALID_ARG_TYPE'],
  ['lease.leaseMs', { lease: { beat, leaseMs: 0 } }, 'ERR_OUT_OF_RANGE'],
  ['lease.intervalMs', { lease: { beat, leaseMs: Number.POSITIVE_INFINITY } }, 'ERR_OUT_OF_RANGE'],
  ['lease.intervalMs', { lease: { beat, leaseMs: 100, intervalMs: 101 } }, 'ERR_OUT_OF_RANGE'],
  ['lease.timeoutMs', { lease: { beat, leaseMs: 100, timeoutMs: '1' } }, 'ERR_INVALID_ARG_TYPE'],
  ['lease.timeoutMs', { lease: { beat, leaseMs: 100, timeoutMs: 2 ** 31 } }, 'ERR_OUT_OF_RANGE'],
  ['lease.forgivenMisses', { lease: { beat, leaseMs: 100, forgivenMisses: -1 } }, 'ERR_OUT_OF_RANGE'],
  ['lease.lost', { lease: { beat, leaseMs: 100, lost: 409 } }, 'ERR_INVALID_ARG_TYPE'],
  ['restart', { restart: 'always' }, 'ERR_INVALID_ARG_TYPE'],
  ['restart.policy', { restart: { policy: 'sometimes' } }, 'ERR_INVALID_ARG_VALUE'],
  ['restart.limit', { restart: { limit: -1 } }, 'ERR_OUT_OF_RANGE'],
  ['restart.jitter', { restart: { jitter: 2 } }, 'ERR_OUT_OF_RANGE'],
  ['restart.backoffMs', { restart: { backoffMs: '1' } }, 'ERR_INVALID_ARG_TYPE'],
  ['restart.maxBackoffMs', { restart: { maxBackoffMs: Number.POSITIVE_INFINITY } }, 'ERR_OUT_OF_RANGE'],
  ['ready', { ready: {} }, 'ERR_INVALID_ARG_VALUE'],
  ['ready', { ready: { line: 'x', port: 1 } }, 'ERR_INVALID_ARG_VALUE'],
  ['ready.line', { ready: { line: 1 } }, 'ERR_INVALID_ARG_TYPE'],
  ['ready.line', { ready: { line: 'x' }, output: 'streams' }, 'ERR_INVALID_ARG_VALUE'],
  ['ready.port', { ready: { port: 0 } }, 'ERR_OUT_OF_RANGE'],
  ['ready.host', { ready: { port: 1, host: 1 } }, 'ERR_INVALID_ARG_TYPE'],
  ['ready.check', { ready: { check: true } }, 'ERR_INVALID_ARG_TYPE'],
  ['ready.intervalMs', { ready: { check: beat, intervalMs: 0 } }, 'ERR_OUT_OF_RANGE'],
  ['startTimeoutMs', { startTimeoutMs: 0 }, 'ERR_OUT_OF_RANGE'],
  ['signals', { signals: { SIGNONE: 'drain' } }, 'ERR_UNKNOWN_SIGNAL'],
  ['signals', { signals: { SIGKILL: 'drain' } }, 'ERR_INVALID_ARG_VALUE'],
  ['signals', { signals: { SIGTERM: 'ignore' } }, 'ERR_INVALID_ARG_VALUE'],
  ['signals', { signals: { SIGTERM: 'forward' }, isolation: 'inherit' }, 'ERR_INVALID_ARG_VALUE'],
  ['signalRepeat', { signalRepeat: 'escalate' }, 'ERR_INVALID_ARG_VALUE'],
  ['signalWindowMs', { signalWindowMs: -1 }, 'ERR_OUT_OF_RANGE'],
  ['output', { output: 'all' }, 'ERR_INVALID_ARG_VALUE'],
  ['tailChars', { tailChars: 1.5 }, 'ERR_OUT_OF_RANGE'],
  ['onLine', { onLine: 1 }, 'ERR_INVALID_ARG_TYPE'],
  ['onLine', { onLine: beat, output: 'ignore' }, 'ERR_INVALID_ARG_VALUE'],
  ['onRun', { onRun: 'x' }, 'ERR_INVALID_ARG_TYPE'],
];

it('T8: bad input is a typed error, and leaves nothing', async () => {
  await supervise(member, ['exit', '0']).outcome; // the engine runs
  const before = { ...footprint(), listeners: process.eventNames() };
  for (const [name, options, code] of bad) {
    const call = () => supervise(member, ['sleep'], options as SuperviseOptions);
    expect(call, `${name} ${JSON.stringify(options)}`).toThrow(
      expect.objectContaining({ name: 'ProcessGroupError', code }),
    );
  }
  expect(() => supervise('')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
  expect(() => supervise('x', ['a\0b'])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
  expect({ ...footprint(), listeners: process.eventNames() }).toEqual(before);
  expect(scenario.alive()).toEqual([]);
});

it('T8: a worker can supervise, but gets no signals', async () => {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { supervise } from ${JSON.stringify(`file://${dist}supervise.js`)};
    let code;
    try { supervise('true', [], { signals: { SIGTERM: 'drain' } }); } catch (error) { code = error.code; }
    const { kind } = await supervise('true').outcome;
    parentPort.postMessage([code, kind]);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  expect(await new Promise((resolve) => worker.once('message', resolve))).toEqual(['ERR_INVALID_ARG_VALUE', 'exited']);
  await worker.terminate();
});
