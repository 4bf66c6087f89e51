import node, { ChildProcess, type exec as NodeExec, type execFile as NodeExecFile } from 'node:child_process';
import { util } from '../builtins.js';
import { throughEngine, withinCall } from './call.js';
import { EngineHandle, OURS } from './handle.js';
import { checkShape, type InnerChild, onChildMade } from './node-shape.js';
import { namePreload } from './start.js';

type AnyFunction = (...args: never[]) => unknown;

let everything = false;

/**
 * From now on every ChildProcess is started by the engine, whoever makes it, and a NODE_OPTIONS that a child is given names
 * the preload by its `url`. Throws ERR_UNSUPPORTED_RUNTIME where this Node's ChildProcess is another than what is known.
 */
export function adoptEverything(url: string): void {
  if (!process.versions.bun && !process.versions.deno) checkShape(); // there the first call throws
  everything = true;
  namePreload(url);
}

onChildMade((child: InnerChild) => {
  const native = child._handle;
  if (native === null) return;
  // Another copy of this package may have been faster; the options of a call of ours are known to us alone.
  const taken = OURS in native;
  if (!withinCall() && (taken || !everything)) return;
  const handle = new EngineHandle(child, native);
  child._handle = handle;
  Object.defineProperty(child, 'stop', { value: () => handle.stop(), writable: true, configurable: true });
});

/** Node's own function under the same name and with the same number of parameters, its children made by the engine. */
function wrap<F extends AnyFunction>(original: F): F {
  const wrapped = {
    [original.name](this: unknown, ...args: unknown[]): unknown {
      return throughEngine(args, () => Reflect.apply(original, this, args));
    },
  }[original.name] as unknown as F;
  Object.defineProperty(wrapped, 'length', { value: original.length, configurable: true });
  return wrapped;
}

function wrapPromised<F extends typeof NodeExec | typeof NodeExecFile>(original: F): F {
  const wrapped = wrap(original as unknown as AnyFunction) as unknown as F;
  const promised = (original as unknown as Record<symbol, AnyFunction>)[util().promisify.custom];
  if (promised !== undefined) {
    Object.defineProperty(wrapped, util().promisify.custom, { value: wrap(promised), enumerable: false });
  }
  return wrapped;
}

// As they are when this is loaded.
export const functions = {
  spawn: wrap(node.spawn as unknown as AnyFunction),
  exec: wrapPromised(node.exec),
  execFile: wrapPromised(node.execFile),
  fork: wrap(node.fork as unknown as AnyFunction),
};
export { ChildProcess };
