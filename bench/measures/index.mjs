import { teardown } from './ending.mjs';
import { load } from './load.mjs';
import { exitNotice, loopDelay, memory, pipes, throughput } from './running.mjs';
import { containmentCost, spawnRate, spawnRss, threads } from './spawn.mjs';
import { workload } from './workload.mjs';

/** In the order in which they run. A measure is { name, about, run(context) }. */
export const measures = [
  spawnRate,
  spawnRss,
  loopDelay,
  pipes,
  throughput,
  exitNotice,
  teardown,
  containmentCost,
  memory,
  load,
  workload,
  threads,
];
