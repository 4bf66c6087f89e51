// What a child costs while it runs, talks and ends.
import { readFileSync } from 'node:fs';
import { childProcess, ours } from '../peers.mjs';
import { descriptors, median } from '../support.mjs';

const pair = (context) => [
  ['procgroup', context.actor('procgroup', ours)],
  ['child_process', context.actor('child_process', childProcess)],
];

export const loopDelay = {
  name: 'loop-delay',
  about: 'delay of the event loop while 1,000 programs are spawned, 64 in flight, above what it is at rest',
  async run(context) {
    for (const [index, what] of ['p50', 'p99', 'max'].entries()) {
      const contenders = pair(context).map(([name, actor]) => ({
        name,
        measure: async () => {
          const parameters = { program: context.floor.trivial, count: 1000, inFlight: 64 };
          const { idle, burst } = await actor.call('delay', parameters);
          return Math.max(0, burst[index] - idle[index]);
        },
      }));
      await context.compare({ title: what, unit: 'ms', better: 'lower', base: 'child_process', contenders });
    }
  },
};

export const pipes = {
  name: 'pipes',
  about: 'programs a second that print 1 KiB, which is collected, 16 in flight',
  async run(context) {
    const collect = (actor, count) => async () => {
      const parameters = { program: context.floor.child, args: ['print'], count, inFlight: 16, size: 1024 };
      return (count / (await actor.call('collect', parameters))) * 1000;
    };
    const contenders = pair(context).map(([name, actor], i) => ({
      name,
      measure: collect(actor, i === 0 ? 1000 : 300),
    }));
    contenders.push({
      name: 'procgroup, tree',
      measure: collect(
        context.actor('tree', () => ours('tree')),
        600,
      ),
    });
    for (const [name, make] of context.peers('collect')) {
      contenders.push({ name, measure: collect(context.actor(name, make), 300) });
    }
    await context.compare({ title: '1 KiB each', unit: '1/s', better: 'higher', base: 'child_process', contenders });
  },
};

export const throughput = {
  name: 'throughput',
  about: 'bytes a second through a pipe that JavaScript reads',
  async run(context) {
    const size = 2 ** 28;
    const contenders = pair(context).map(([name, actor]) => ({
      name,
      measure: async () => {
        const parameters = { program: context.floor.child, args: ['write', String(size)], size };
        return size / 2 ** 20 / ((await actor.call('drain', parameters)) / 1000);
      },
    }));
    await context.compare({ title: '256 MiB', unit: 'MiB/s', better: 'higher', base: 'child_process', contenders });
  },
};

export const exitNotice = {
  name: 'exit-notice',
  about: "from a child's last word to our callback, and spawn to exit, with so many other children alive",
  async run(context) {
    const actors = [
      ['procgroup', context.fresh(ours)],
      ['child_process', context.fresh(childProcess)],
    ];
    for (const alive of [1, 1000, 5000]) {
      if (descriptors() < alive + 500) {
        context.skip(`${alive} alive`, `RLIMIT_NOFILE is ${descriptors()}`);
        continue;
      }
      for (const [, actor] of actors)
        await actor.call('hold', { program: context.floor.child, args: ['sit'], count: alive });
      for (const [what, q] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ]) {
        const contenders = actors.map(([name, actor]) => ({
          name,
          measure: async () => {
            const values = await actor.call('notice', { program: context.floor.child, args: ['notice'], count: 100 });
            return values.sort((a, b) => a - b)[Math.floor(values.length * q)];
          },
        }));
        const title = `exit notice ${what}, ${alive} alive`;
        await context.compare({ title, unit: 'us', better: 'lower', base: 'child_process', contenders });
      }
      const contenders = actors.map(([name, actor]) => ({
        name,
        measure: async () => median(await actor.call('latency', { program: context.floor.trivial, count: 60 })),
      }));
      const title = `spawn to exit, ${alive} alive`;
      await context.compare({ title, unit: 'us', better: 'lower', base: 'child_process', contenders });
    }
    for (const [, actor] of actors) await actor.close();
  },
};

const kib = (pid, keys) => {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return keys.reduce((sum, key) => sum + Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]), 0);
};

export const memory = {
  name: 'memory',
  about: 'KiB: of the supervisor for each of 500 living children, and private to a guardian',
  async run(context) {
    const grown = (make) => async () => {
      const actor = context.fresh(make);
      await actor.call('hold', { program: context.floor.child, args: ['sit'], count: 20 });
      const before = kib(actor.pid, ['Private_Dirty']);
      await actor.call('hold', { program: context.floor.child, args: ['sit'], count: 520 });
      const after = kib(actor.pid, ['Private_Dirty']);
      await actor.close();
      return (after - before) / 500;
    };
    await context.compare({
      title: 'a living child',
      unit: 'KiB',
      better: 'lower',
      base: 'child_process',
      rounds: 3,
      contenders: [
        { name: 'procgroup', measure: grown(ours) },
        { name: 'procgroup, tree', measure: grown(() => ours('tree')) },
        { name: 'child_process', measure: grown(childProcess) },
      ],
    });
    const tree = context.fresh(() => ours('tree'));
    await tree.call('hold', { program: context.floor.child, args: ['sit'], count: 1 });
    const [pid] = await tree.call('pids');
    const guardian = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    const measure = async () => kib(guardian, ['Private_Dirty', 'Private_Clean']);
    await context.compare({
      title: 'a guardian',
      unit: 'KiB',
      better: 'lower',
      rounds: 1,
      contenders: [{ name: 'procgroup, tree', measure }],
    });
    await tree.close();
  },
};
