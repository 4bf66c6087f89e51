import { performance } from 'node:perf_hooks';

/** `each` is called `count` times with `inFlight` at a time; milliseconds. */
export async function lanes(count, inFlight, each) {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await each();
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane));
  return performance.now() - begin;
}
