const factor = Number(process.env.PROCGROUP_TEST_SCALE ?? 1);

/** A count that PROCGROUP_TEST_SCALE stretches or shrinks, at least 1. */
export function scaled(count: number): number {
  return Math.max(1, Math.round(count * factor));
}
