// The object, the module, and the context in which a child's events are told.
import { AsyncLocalStorage, createHook, executionAsyncId, triggerAsyncId } from 'node:async_hooks';
import { once } from 'node:events';
import { existsSync, stat } from 'node:fs';
import { block, settle } from './settle.mjs';

export const cases = {
  // What woke the loop was found before the child ended; that it ended is known before the loop has read it all.
  'the end of a child while other news is read': async ({ cp, folder }) => {
    const mark = `${folder}/written`;
    const reader = cp.spawn('cat', [], { stdio: ['pipe', 'pipe', 'ignore'] });
    const seen = [];
    reader.stdout.on('end', () => seen.push('end')).resume();
    const told = ['exit', 'close'].map((event) => once(reader, event).then(() => seen.push(event)));
    await once(reader, 'spawn');
    const writer = cp.spawn('/bin/sh', ['-c', `read x; echo x; : > ${mark}; exec cat`], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    writer.stdout.once('data', () => {
      reader.kill('SIGKILL');
      settle(reader);
    });
    await once(writer, 'spawn');
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve)); // the loop has its pipe
    writer.stdin.write('\n');
    block(() => existsSync(mark)); // the data is there first,
    stat(mark, () => {}); // then what a thread of the pool has done
    block(() => true);
    await Promise.all(told);
    writer.kill('SIGKILL');
    await once(writer, 'close');
    return seen;
  },
  AsyncLocalStorage: async ({ cp }) => {
    const store = new AsyncLocalStorage();
    const seen = {};
    let child;
    const done = store.run('mine', () => {
      child = cp.spawn('/bin/sh', ['-c', 'echo x']);
      for (const event of ['spawn', 'exit', 'close'])
        child.on(event, () => {
          seen[event] = store.getStore();
        });
      for (const event of ['data', 'end', 'close'])
        child.stdout.on(event, () => {
          seen[`stdout ${event}`] = store.getStore();
        });
      const failed = cp.spawn('no-such-program');
      failed.on('error', () => {
        seen.error = store.getStore();
      });
      return once(child, 'close');
    });
    store.run('another', () => settle(child));
    await done;
    return seen;
  },
  'async ids': async ({ cp }) => {
    const made = new Set();
    const hook = createHook({ init: (id) => made.add(id) }).enable();
    const top = executionAsyncId();
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    const closed = once(child, 'close');
    const seen = await new Promise((resolve) => {
      child.on('exit', () =>
        resolve([made.has(executionAsyncId()), executionAsyncId() !== top, triggerAsyncId() === top]),
      );
    });
    hook.disable();
    await closed;
    return seen;
  },
  diagnostics_channel: async ({ cp }) => {
    const { subscribe, unsubscribe, tracingChannel } = await import('node:diagnostics_channel');
    const list = [];
    const made = ({ process: child }) => list.push(['made', child instanceof cp.ChildProcess, typeof child.pid]);
    const traced = (name) => (message) =>
      list.push([name, Object.keys(message), message.error?.code, typeof message.process?.pid]);
    subscribe('child_process', made);
    const tracing = tracingChannel('child_process.spawn');
    const handlers = { start: traced('start'), end: traced('end'), error: traced('error') };
    tracing.subscribe(handlers);
    await once(cp.spawn('true', [], { stdio: 'ignore' }), 'close');
    const failed = cp.spawn('no-such-program', [], { stdio: 'ignore' }).on('error', () => {});
    await new Promise((resolve) => failed.on('close', resolve));
    tracing.unsubscribe(handlers);
    unsubscribe('child_process', made);
    return list;
  },
  'the object': async ({ cp }) => {
    const { EventEmitter } = await import('node:events');
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    await once(child, 'close');
    return [
      child instanceof cp.ChildProcess,
      child instanceof EventEmitter,
      child.constructor === cp.ChildProcess,
      Object.getPrototypeOf(child) === cp.ChildProcess.prototype,
      Object.getOwnPropertyNames(cp.ChildProcess.prototype).sort(),
      JSON.stringify(child, (key, value) => (key === '_handle' || key === 'pid' ? undefined : value)),
      cp.ChildProcess.name,
      cp.ChildProcess.length,
    ];
  },
  'the module': ({ cp }) =>
    Object.entries(cp)
      .map(([name, value]) => [name, typeof value, value.name, value.length])
      .sort(),
  'methods after the end': async ({ cp }) => {
    const child = cp.spawn('true', [], { stdio: 'ignore' });
    await once(child, 'close');
    return [child.ref(), child.unref(), child.kill(), child.kill(0)];
  },
};
