// Two copies of the built package in one process: each has its engine, neither takes the other's children.
import { describe, expect, it } from 'vitest';
import { announce, boxed, usePlace, whyNoCgroup } from './support/boxes.js';
import { install } from './support/installed.js';
import { runNode, runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

describe('two copies of the package in one process', () => {
  const scenario = useScenario();
  const place = usePlace();
  const reason = announce('two-copies: cgroup', whyNoCgroup());

  const copy = () => install(scenario).index;

  it('both spawn, reap and tear down at the same time', async () => {
    const answer = await runNodeJson<Record<string, unknown>>(
      {
        source: `
          const second = await import(process.argv.at(-1));
          const copies = [procgroup, second];
          const one = async (copy, i) => {
            const group = await copy.spawn(member, ['exit', String(i)], { stdio: 'ignore' });
            const { code } = await group.exited;
            const { empty } = await group.gone;
            return code === i && empty;
          };
          const jobs = [];
          for (let i = 0; i < 100; i++) jobs.push(one(copies[i % 2], i));
          const right = (await Promise.all(jobs)).filter(Boolean).length;
          const stubborn = await Promise.all(copies.map((copy) => copy.spawn(member, ['grandchild-ignores-term'], {
            stdio: ['ignore', 'pipe', 'inherit'], teardown: [{ signal: 'SIGTERM', graceMs: 100 }],
          })));
          for (const group of stubborn) await readReady(group.stdout);
          const reports = await Promise.all(stubborn.map((group) => group.stop()));
          console.log(JSON.stringify({
            distinct: procgroup.spawn !== second.spawn && procgroup.ProcessGroup !== second.ProcessGroup,
            right,
            empty: reports.map((report) => report.empty),
            zombies: oracle.zombieChildrenOf().length,
          }));`,
      },
      { args: [copy()], env: scenario.env },
    );
    expect(answer).toEqual({ distinct: true, right: 100, empty: [true, true], zombies: 0 });
  });

  it.skipIf(reason !== '')('both have leaves below the same parent', async () => {
    const answer = await runNodeJson<unknown[]>(
      {
        source: `
          const second = await import(process.argv.at(-1));
          const options = { ...${JSON.stringify(boxed('cgroup', place))}, stdio: 'ignore' };
          const groups = [];
          for (const copy of [procgroup, second, procgroup, second]) groups.push(await copy.spawn(member, ['sleep'], options));
          const leaves = new Set(groups.map(({ mechanism }) => mechanism.cgroupPath));
          const reports = await Promise.all(groups.map((group) => group.kill()));
          console.log(JSON.stringify([leaves.size, ...reports.map(({ empty }) => empty)]));`,
      },
      { args: [copy()], env: scenario.env },
    );
    expect(answer).toEqual([4, true, true, true, true]);
    expect(place.leaves()).toEqual([]);
  });

  it('each tears down at exit what it holds', async () => {
    const run = await runNode(
      {
        source: `
          const second = await import(process.argv.at(-1));
          const options = { stdio: ['ignore', 'pipe', 'inherit'], exitGraceMs: 100 };
          const groups = [];
          for (const copy of [procgroup, second]) groups.push(await copy.spawn(member, ['grandchild-ignores-term'], options));
          for (const group of groups) await readReady(group.stdout);
          process.exit(5);`,
      },
      { args: [copy()], env: scenario.env },
    );
    expect([run.code, run.signal], run.stderr).toEqual([5, null]);
    expect(scenario.alive()).toEqual([]);
  });

  it('each in a worker of its own', async () => {
    const run = await runNode(
      {
        source: `
          import { Worker } from 'node:worker_threads';
          const body = (url) => 'data:text/javascript,' + encodeURIComponent(
            'const { spawn } = await import(' + JSON.stringify(url) + ');'
            + 'const groups = await Promise.all(Array.from({ length: 20 }, () => spawn(' + JSON.stringify(member)
            + ', ["exit", "0"], { stdio: "ignore" })));'
            + 'await Promise.all(groups.map((group) => group.gone));');
          const urls = ['file://' + paths.dist + 'index.js', 'file://' + process.argv.at(-1)];
          const codes = await Promise.all(urls.map((url) => new Promise((resolve, reject) => {
            new Worker(new URL(body(url))).on('error', reject).on('exit', resolve);
          })));
          console.log(codes.join());`,
      },
      { args: [copy()], env: scenario.env },
    );
    expect([run.code, run.stdout], run.stderr).toEqual([0, '0,0\n']);
  });
});
