// Teardowns: from the kill until nobody is left, and who looked.
import { childProcess, ours } from '../peers.mjs';
import { runFloor } from '../support.mjs';

export const teardown = {
  name: 'teardown',
  about: 'SIGKILL to a group of sleepers until it is seen empty',
  async run(context) {
    for (const members of [1, 10, 100, 1000]) {
      const end = (actor) => () =>
        actor.call('teardown', { program: context.floor.killpg, args: ['--lead', String(members)] });
      const contenders = [
        { name: 'C floor', measure: async () => Number(runFloor(context.floor.killpg, [String(members), '1'])) },
        { name: 'procgroup, group', measure: end(context.actor('procgroup', ours)) },
        { name: 'procgroup, tree', measure: end(context.actor('tree', () => ours('tree'))) },
        ...context.containments.map((name) => ({
          name: `procgroup, ${name}`,
          measure: end(context.actor(name, () => ours(name))),
        })),
        { name: 'child_process and killpg, polled', measure: end(context.actor('child_process', childProcess)) },
      ];
      for (const [name, make] of context.peers('group'))
        contenders.push({ name, measure: end(context.actor(name, make)) });
      const title = `${members} member${members > 1 ? 's' : ''}`;
      await context.compare({ title, unit: 'ms', better: 'lower', base: 'C floor', contenders });
    }
  },
};
