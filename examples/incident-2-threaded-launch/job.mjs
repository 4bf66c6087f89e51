// The job that is launched. Under node:child_process it is told by messages; under procgroup it is just this function.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

class JobError extends Error {
  name = 'JobError';
}

export function job({ id, rows, broken }) {
  if (broken) {
    const cause = new AggregateError([new Error('shard 1 is gone'), new Error('shard 2 is gone')], 'no shard answers');
    throw Object.assign(new JobError(`job ${id} failed`, { cause }), { id, retriable: true });
  }
  return { id, total: rows.reduce((sum, row) => sum + row.value, 0n) };
}

// Started by fork(): what one writes for it by hand.
if (process.send && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.once('message', (payload) => {
    const answer = {};
    try {
      const { id, total } = job({ ...payload, rows: payload.rows?.map(({ value }) => ({ value: BigInt(value) })) });
      answer.value = { id, total: String(total) };
    } catch (error) {
      answer.error = { message: error.message };
    }
    process.send(answer, () => process.disconnect());
  });
}
