// A function in a fresh Node, against what Node itself has for that. The contenders are those of bench/workload.mjs.
import { WorkloadPool } from '../../dist/workload.js';
import { job, names, one } from '../workload.mjs';

const MIB = 2 ** 20;

export const workload = {
  name: 'workload',
  about:
    'milliseconds from the call to the value of a function that gives back what it gets, in a process (or thread) of its own',
  async run(context) {
    const pool = new WorkloadPool({ size: 1, preload: [job] });
    for (const [title, bytes] of [
      ['one job, empty', 0],
      ['one job, 16 MiB there and back', 16 * MIB],
    ]) {
      const payload = Buffer.alloc(bytes, 7);
      await context.compare({
        title,
        unit: 'ms',
        better: 'lower',
        base: 'fork() and a message',
        contenders: names.map((name) => ({ name, measure: async () => (await one(name, payload, pool)).toValue })),
      });
    }
    await pool.close();
  },
};
