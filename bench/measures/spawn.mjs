// Rates of spawns: from spawn() to the notice of the exit, of a static program that only exits.
import { childProcess, ours } from '../peers.mjs';
import { available, median, runFloor } from '../support.mjs';

const perSecond = (count, ms) => (count / ms) * 1000;

const rate = (actor, program, count, inFlight) => async () =>
  perSecond(count, await actor.call('rate', { program, count, inFlight }));

const floor = (context, count, threads) => () =>
  perSecond(count, Number(runFloor(context.floor.spawn, [context.floor.trivial, String(count), String(threads)])));

export const spawnRate = {
  name: 'spawn-rate',
  about: 'spawns a second, from spawn() to the notice of the exit',
  async run(context) {
    for (const [inFlight, ourCount, theirCount] of [
      [1, 1000, 300],
      [64, 3000, 600],
    ]) {
      for (const [what, program, scale] of [
        ['a static program', context.floor.trivial, 1],
        ['/bin/true', '/bin/true', 0.4],
      ]) {
        const count = Math.round(ourCount * scale);
        const fewer = Math.round(theirCount * scale);
        const contenders = [
          { name: 'procgroup', measure: rate(context.actor('procgroup', ours), program, count, inFlight) },
          {
            name: 'child_process',
            measure: rate(context.actor('child_process', childProcess), program, fewer, inFlight),
          },
        ];
        if (scale === 1) {
          contenders.push({
            name: 'procgroup, tree',
            measure: rate(
              context.actor('tree', () => ours('tree')),
              program,
              Math.round(count / 2),
              inFlight,
            ),
          });
          const threads = inFlight === 1 ? 1 : 2;
          contenders.push({
            name: `C floor, ${threads} thread${threads > 1 ? 's' : ''}`,
            measure: floor(context, count, threads),
          });
        }
        for (const [name, make] of context.peers('run')) {
          contenders.push({ name, measure: rate(context.actor(name, make), program, fewer, inFlight) });
        }
        await context.compare({
          title: `${what}, ${inFlight} in flight`,
          unit: '1/s',
          better: 'higher',
          base: 'child_process',
          contenders,
        });
      }
    }
  },
};

export const spawnRss = {
  name: 'spawn-rss',
  about: 'spawns a second, 64 in flight, of a process with so much resident memory in small pages',
  async run(context) {
    const base = context.fresh(ours);
    for (const gib of [0, 1, 2, 4]) {
      if (available() < (gib * 2 + 1) * 2 ** 30) {
        context.skip(`${gib} GiB`, 'not enough memory available');
        continue;
      }
      const actors = [context.fresh(ours), context.fresh(childProcess)];
      const contenders = [
        { name: 'procgroup', measure: rate(actors[0], context.floor.trivial, 1000, 64) },
        {
          name: 'child_process',
          measure: rate(actors[1], context.floor.trivial, gib === 0 ? 400 : Math.round(40 / gib), 64),
        },
        { name: 'procgroup, 0 GiB', measure: rate(base, context.floor.trivial, 1000, 64) },
      ];
      for (const actor of actors) await actor.call('ballast', { bytes: gib * 2 ** 30 });
      await context.compare({
        title: `${gib} GiB resident`,
        unit: '1/s',
        better: 'higher',
        base: 'child_process',
        contenders,
      });
      for (const actor of actors) await actor.close();
    }
    await base.close();
  },
};

export const threads = {
  name: 'threads',
  about: 'spawns a second from worker_threads of one process, 16 in flight in each',
  async run(context) {
    for (const workers of [1, 2, 4, 8]) {
      const contender = (name, make, count) => ({
        name,
        measure: async () => {
          const parameters = { program: context.floor.trivial, count, inFlight: 16, workers };
          return perSecond(count, await context.actor(`threads ${name}`, make).call('threads', parameters));
        },
      });
      await context.compare({
        title: `${workers} worker_thread${workers > 1 ? 's' : ''}`,
        unit: '1/s',
        better: 'higher',
        base: 'child_process',
        contenders: [contender('procgroup', ours, 1600), contender('child_process', childProcess, 320)],
      });
    }
  },
};

export const containmentCost = {
  name: 'containment-cost',
  about: 'from spawn() to the notice of the exit, one at a time, each wholly gone before the next begins',
  async run(context) {
    const contenders = ['leader', 'group', 'tree', ...context.containments].map((containment) => ({
      name: containment,
      measure: async () => {
        const actor = context.actor(containment, () => ours(containment));
        return median(await actor.call('latency', { program: context.floor.trivial, count: 300 }));
      },
    }));
    contenders.push({
      name: 'child_process',
      measure: async () => {
        const actor = context.actor('child_process', childProcess);
        return median(await actor.call('latency', { program: context.floor.trivial, count: 200 }));
      },
    });
    const title = 'spawn() to the notice of the exit';
    await context.compare({ title, unit: 'us', better: 'lower', base: 'group', contenders });
  },
};
