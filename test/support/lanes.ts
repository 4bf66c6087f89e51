/** Calls `work` for each item, `lanes` at a time. Settles with all results once every call has settled. */
export async function inLanes<T, R>(
  lanes: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const results: Promise<R>[] = [];
  for (const [i, item] of items.entries()) {
    const before = results[i - lanes] ?? Promise.resolve();
    const next = () => work(item);
    results.push(before.then(next, next));
  }
  return Promise.allSettled(results);
}

/** The value, or what was thrown. */
export function resultOf<R>(settled: PromiseSettledResult<R> | undefined): R {
  if (settled === undefined) throw new Error('it has not been run');
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}
