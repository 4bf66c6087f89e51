// When a process with children of the drop-in ends, and what it leaves: as with node:child_process itself.
import { describe, expect, it } from 'vitest';
import { nodes, versionOf } from './support/drop-in/compare.js';
import { isDead, waitUntil } from './support/oracle.js';
import { dist, member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNode, runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

/** `cp` is the module in question; `child()` starts one that stays until it is killed, and says its pid. */
const prelude = (which: string) => `
  const cp = ${which === 'node' ? 'nodeProcess' : `(await import(${JSON.stringify(`${dist}child-process.js`)})).default`};
  const child = (options = {}) => {
    const made = cp.spawn(member, ['sleep'], { stdio: 'ignore', ...options });
    console.log('child ' + made.pid);
    return made;
  };
`;

const ends: [name: string, source: string, left: number][] = [
  [
    'a child keeps the loop alive',
    "cp.spawn('sleep', ['0.2'], { stdio: 'ignore' }).on('exit', () => console.log('exit')); process.on('exit', () => console.log('end'));",
    0,
  ],
  ['unref() lets it go', 'child().unref();', 1],
  [
    'unref() before the child has started',
    "const made = child(); made.unref(); made.on('spawn', () => console.log('spawn'));",
    1,
  ],
  [
    'ref() takes it back',
    "const made = cp.spawn('sleep', ['0.2'], { stdio: 'ignore' }); made.unref(); made.ref(); made.on('exit', () => console.log('exit'));",
    0,
  ],
  [
    'unref() twice and ref() once',
    "const made = cp.spawn('sleep', ['0.2'], { stdio: 'ignore' }); made.unref(); made.unref(); made.ref(); made.on('exit', () => console.log('exit'));",
    0,
  ],
  [
    'a pipe keeps the loop alive after unref()',
    "const made = cp.spawn('sleep', ['0.2']); made.unref(); made.stdout.on('close', () => console.log('close'));",
    0,
  ],
  ['process.exit() leaves the child', 'child(); process.exit(3);', 1],
  ['a throw leaves the child', "child(); throw new Error('on purpose');", 1],
  ['a detached child', 'child({ detached: true }).unref();', 1],
  ['SIGKILL leaves the child', "child(); process.kill(process.pid, 'SIGKILL');", 1],
  ['SIGTERM leaves the child', "child(); process.kill(process.pid, 'SIGTERM');", 1],
  ['a child started while the process exits', "process.on('exit', () => child());", 1],
  [
    'beforeExit comes after the last child',
    "cp.spawn('true', [], { stdio: 'ignore' }).on('exit', () => console.log('exit')); process.on('beforeExit', () => console.log('beforeExit'));",
    0,
  ],
  [
    'a failed start keeps nothing alive',
    "cp.spawn('no-such-program').on('error', (error) => console.log(error.code)); process.on('exit', () => console.log('end'));",
    0,
  ],
  [
    "an unref'ed channel",
    "const made = cp.fork('-', { execArgv: ['-e', 'setInterval(() => {}, 1000)'], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }); made.on('message', () => {}); made.unref(); made.channel.unref(); console.log('child ' + made.pid);",
    1,
  ],
];

describe.each(nodes)('life and end of a process %s', (node) => {
  const scenario = useScenario();

  // The engine takes descriptors too. What only the first spawn needs must not change how it fails.
  it(`the first child of all, without a descriptor left${versionOf(node)}`, async () => {
    const source = (which: string) => `${prelude(which)}
      await import(${JSON.stringify(`${dist}native.js`)}).then(({ binding }) => binding());
      const held = [];
      try { for (;;) held.push(nodeFs.openSync('/dev/null')); } catch {}
      const said = [];
      try {
        cp.spawn('true', [], { stdio: 'ignore' }).on('error', ({ code, syscall }) => said.push(code, syscall)).on('exit', () => said.push('exit'));
      } catch ({ code }) { said.push('thrown', code); }
      for (const fd of held) nodeFs.closeSync(fd);
      await new Promise((resolve) => setImmediate(resolve));
      const [after] = await new Promise((resolve) => cp.spawn('true', [], { stdio: 'ignore' }).on('exit', (...all) => resolve(all)));
      console.log(JSON.stringify({ said, after }));`;
    const via = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];
    const options = { env: scenario.env, node, via };
    const theirs = await runNodeJson({ source: source('node') }, options);
    expect(theirs).toEqual({ said: ['EMFILE', 'spawn true'], after: 0 });
    expect(await runNodeJson({ source: source('ours') }, options)).toEqual(theirs);
  });

  async function run(which: string, source: string) {
    const { code, signal, stdout } = await runNode({ source: prelude(which) + source }, { env: scenario.env, node });
    const pids = [...stdout.matchAll(/child (\d+)/g)].map(([, pid]) => Number(pid));
    const left = pids.filter((pid) => !isDead(pid)).length;
    for (const pid of pids) if (!isDead(pid)) process.kill(pid, 'SIGKILL');
    return { code, signal, stdout: stdout.replace(/child \d+/g, 'child'), left };
  }

  for (const [name, source, left] of ends) {
    it(`${name}${versionOf(node)}`, async () => {
      const theirs = await run('node', source);
      expect(theirs.left, "control: node's own").toBe(left);
      expect(await run('ours', source)).toEqual(theirs);
    });
  }

  it(`a child needs no more free descriptors than with Node${versionOf(node)}`, async () => {
    const source = (which: string) => `${prelude(which)}
      await new Promise((resolve) => cp.spawn('true', [], { stdio: 'ignore' }).on('exit', resolve));
      const fd = nodeFs.openSync('/dev/null', 'r+');
      const held = [], seen = [];
      try { for (;;) held.push(nodeFs.openSync('/dev/null')); } catch {}
      for (let free = 0; free < 8; free++) {
        const child = cp.spawn('true', [], { stdio: [fd, fd, fd, fd, fd] });
        seen.push(await new Promise((resolve) => child.on('error', ({ code }) => resolve(code)).on('exit', resolve)));
        nodeFs.closeSync(held.pop());
      }
      console.log(JSON.stringify(seen));`;
    const via = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];
    const options = { env: scenario.env, node, via };
    const theirs = await runNodeJson<unknown[]>({ source: source('node') }, options);
    const ours = await runNodeJson<unknown[]>({ source: source('ours') }, options);
    expect([theirs[0], theirs.at(-1)]).toEqual(['EMFILE', 0]);
    expect(ours[0]).toBe('EMFILE');
    expect(theirs.filter((end, free) => end === 0 && ours[free] !== 0)).toEqual([]);
  });

  /** A subject that runs `source` in a worker, and gives what it posts first as `said`. */
  const inWorker = (source: string, rest: string) => `
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    const source = ${JSON.stringify(`
      import { once } from 'node:events';
      import { promisify } from 'node:util';
      import { parentPort } from 'node:worker_threads';
      import { exec, fork, spawn } from ${JSON.stringify(`file://${dist}child-process.js`)};
      ${source}`)};
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
    const [said] = await once(worker, 'message');
    ${rest}`;

  it(`a worker that ends leaves its children, and none of them a zombie${versionOf(node)}`, async () => {
    const source = inWorker(
      `const stays = spawn(${JSON.stringify(member)}, ['sleep'], { stdio: 'ignore' });
       const ends = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore'] });
       ends.on('spawn', () => parentPort.postMessage([stays.pid, ends.pid]));`,
      `await worker.terminate();
       await oracle.waitUntil(() => !nodeFs.existsSync('/proc/' + said[1]));
       console.log('child ' + said[0]);`,
    );
    const { code, stdout, stderr } = await runNode({ source }, { env: scenario.env, node });
    expect(code, stderr).toBe(0);
    const pid = Number(/child (\d+)/.exec(stdout)?.[1]);
    expect(isDead(pid)).toBe(false);
    process.kill(pid, 'SIGKILL');
  });

  it(`a worker has the whole of it${versionOf(node)}`, async () => {
    const source = inWorker(
      `const child = spawn('cat');
       child.stdin.end('through');
       const closed = once(child, 'close');
       const [data] = await once(child.stdout, 'data');
       const [code] = await closed;
       const { stdout } = await promisify(exec)('echo $IN', { env: { IN: 'worker', PATH: process.env.PATH } });
       const kid = fork('-', { execArgv: ['-e', 'process.send(1)'] });
       const [message] = await once(kid, 'message');
       await once(kid, 'exit');
       parentPort.postMessage([String(data), code, stdout, message]);`,
      'console.log(JSON.stringify(said));',
    );
    const { stdout, stderr } = await runNode({ source }, { env: scenario.env, node });
    expect(stdout, stderr).toBe(`${JSON.stringify(['through', 0, 'worker\n', 1])}\n`);
  });

  it(`children of a process that is stopped and continued${versionOf(node)}`, async () => {
    const source = `${prelude('ours')}
      const made = child();
      console.log('ready ' + JSON.stringify({ pid: made.pid }));
      made.on('exit', (...all) => console.log(JSON.stringify(all)));`;
    const subject = startNode({ source }, { env: scenario.env, node });
    let text = '';
    const { pid } = await readReady(subject.stdout as never);
    subject.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    subject.stdout?.resume();
    subject.kill('SIGSTOP');
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isDead(pid));
    subject.kill('SIGCONT');
    await new Promise((resolve) => subject.once('close', resolve));
    expect(text).toContain('[null,"SIGKILL"]');
  });
});
