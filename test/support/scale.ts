const factor = Number(process.env.PROCGROUP_TEST_SCALE ?? 1);

/** A count that PROCGROUP_TEST_SCALE stretches or shrinks, at least 1. */
export function scaled(count: number): number {
  return Math.max(1, Math.round(count * factor));
}

const slowness = Number(process.env.PROCGROUP_TEST_SLOWNESS ?? 1);

/** The time, in ms, that a bound leaves to the machine beside what was promised: PROCGROUP_TEST_SLOWNESS times as much. */
export function allowance(ms: number): number {
  return ms * slowness;
}
