// What the types of the drop-in say, checked by the compiler alone.
import type { ChildProcess, ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import cp, {
  type ChildProcess as Exported,
  exec,
  execFile,
  fork,
  type SpawnOptions,
  spawn,
  type TeardownReport,
} from '../dist/child-process.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <T extends true>(_?: T) => {};

export function types(): void {
  const plain = spawn('x');
  same<Equal<typeof plain.stdout, Readable>>();
  same<Equal<ReturnType<typeof plain.stop>, Promise<TeardownReport>>>();
  const contained = spawn('x', ['a'], { containment: 'tree', cwd: '/', teardown: [{ signal: 'SIGTERM', graceMs: 1 }] });
  same<Equal<typeof contained.stdin, Writable>>();
  const tuple = spawn('x', [], { stdio: ['ignore', 'pipe', 'inherit'], containment: 'group' });
  same<Equal<typeof tuple.stdin, null>>();
  same<Equal<typeof tuple.stdout, Readable>>();
  same<Equal<typeof tuple.stderr, null>>();
  const options: SpawnOptions = { stdio: 'inherit' };
  const any: ChildProcess = spawn('x', options);
  const exported: Exported = any;
  const three: ChildProcessByStdio<null, Readable, null> = tuple;
  exec('x', { containment: 'tree' }, (error, stdout) => {
    same<Equal<typeof stdout, string>>();
    error?.code?.toFixed();
  }).stop();
  execFile('x', ['a'], { encoding: 'buffer', isolation: 'group' }, (_error, stdout) => {
    same<Equal<typeof stdout, Buffer>>();
  });
  void promisify(exec)('x', { containment: 'tree' }).then(({ stdout }) => stdout.trim());
  void promisify(execFile)('x').child.kill();
  fork('x', { containment: 'tree' }).send({});
  cp.spawn('x').stop();
  cp.spawnSync('x').status?.toFixed();
  // @ts-expect-error: no such containment
  spawn('x', [], { containment: 'wood' });
  // @ts-expect-error: a rung needs its grace
  exec('x', { teardown: [{ signal: 'SIGTERM' }] });
  void [exported, three];
}
