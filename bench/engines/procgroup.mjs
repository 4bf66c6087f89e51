// procgroup under one containment. What every engine module exports is described in bench/README.md.
import { output, spawn } from '../../dist/index.js';

export function make({ containment = 'group' } = {}) {
  return {
    async run(program, args) {
      const { code } = await (await spawn(program, args, { stdio: 'ignore', containment })).exited;
      if (code !== 0) throw new Error(`${program} ended with ${code}`);
    },
    /** Milliseconds to the notice of the exit; what its containment still has to do is done before the next. */
    async latency(program, args) {
      const begin = performance.now();
      const child = await spawn(program, args, { stdio: 'ignore', containment });
      await child.exited;
      const ms = performance.now() - begin;
      await child.gone;
      return ms;
    },
    async collect(program, args) {
      return (await output(program, args, { containment, encoding: 'latin1' })).stdout;
    },
    async drain(program, args) {
      const child = await spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], containment });
      let bytes = 0;
      for await (const chunk of child.stdout) bytes += chunk.length;
      await child.exited;
      return bytes;
    },
    /** From the exit to our callback, nanoseconds. */
    async notice(program, args) {
      const child = await spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], containment });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
      });
      child.stdin.end('x');
      await child.exited;
      const noticed = process.hrtime.bigint();
      await child.closed;
      return Number(noticed - BigInt(said));
    },
    async hold(program, args) {
      const child = await spawn(program, args, { stdio: 'ignore', containment, teardown: [] });
      return { pid: child.pid, end: () => child.kill() };
    },
    /** A leader whose stdout says ready; `end` settles once everybody is seen gone. */
    async group(program, args) {
      const child = await spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], containment, teardown: [] });
      for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break;
      return {
        async end() {
          const report = await child.kill();
          if (!report.empty) throw new Error(`survivors: ${JSON.stringify(report.survivors)}`);
        },
      };
    },
  };
}
