// node:child_process, in whatever runtime this runs.
import { spawn } from 'node:child_process';

const exit = (child) =>
  new Promise((resolve, reject) => {
    child.on('error', reject).on('exit', (code, signal) => resolve({ code, signal }));
  });

/** Nobody of a process group answers any more. A poll: Node has no other means. */
export async function groupGone(pgid) {
  for (;;) {
    try {
      process.kill(-pgid, 0);
    } catch (error) {
      if (error.code === 'ESRCH') return;
      throw error;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function make() {
  return {
    async run(program, args) {
      const { code } = await exit(spawn(program, args, { stdio: 'ignore' }));
      if (code !== 0) throw new Error(`${program} ended with ${code}`);
    },
    async latency(program, args) {
      const begin = performance.now();
      await exit(spawn(program, args, { stdio: 'ignore' }));
      return performance.now() - begin;
    },
    collect(program, args) {
      return new Promise((resolve, reject) => {
        const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        let said = '';
        child.stdout.setEncoding('latin1').on('data', (chunk) => {
          said += chunk;
        });
        child.on('error', reject).on('close', () => resolve(said));
      });
    },
    drain(program, args) {
      return new Promise((resolve, reject) => {
        const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        let bytes = 0;
        child.stdout.on('data', (chunk) => {
          bytes += chunk.length;
        });
        child.on('error', reject).on('close', () => resolve(bytes));
      });
    },
    async notice(program, args) {
      const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
      });
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end('x');
      await exit(child);
      const noticed = process.hrtime.bigint();
      await closed;
      return Number(noticed - BigInt(said));
    },
    async hold(program, args) {
      const child = spawn(program, args, { stdio: 'ignore' });
      const gone = exit(child);
      return { pid: child.pid, end: () => child.kill('SIGKILL') && gone };
    },
    async group(program, args) {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      const gone = exit(child);
      for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break;
      return {
        async end() {
          process.kill(-child.pid, 'SIGKILL');
          await gone;
          await groupGone(child.pid);
        },
      };
    },
  };
}
