import { beforeAll, describe, expect, it } from 'vitest';
import { inLanes, resultOf } from '../lanes.js';
import { killMarked, type Live, newMark } from '../oracle.mjs';
import { root } from '../paths.mjs';
import { runNode } from '../run-node.js';

export type Table = Record<string, (tools: never) => unknown>;
export type Module = 'node' | 'import' | 'require' | 'preload';

/** The Node executables to compare on: those of PROCGROUP_TEST_NODES, separated by colons, else the one that runs. */
export const nodes = process.env.PROCGROUP_TEST_NODES?.split(':').filter(Boolean) ?? [process.execPath];
/** For the title of a test: which of them it is about. */
export const versionOf = (node: string): string => (nodes.length > 1 ? ` ${node.split('/').at(-1)}` : '');

/** What one module shows, and who of its children is left. Each run has a mark of its own: several go on at a time. */
async function see(node: string, which: Module, table: string) {
  const file = `${root}test/support/drop-in/run.mjs`;
  const mark = newMark();
  const env = { ...process.env, ...mark.env };
  let left: Live[] = [];
  const run = await runNode(file, { args: [which, table], node, env, timeoutMs: 120_000 }).finally(() => {
    left = killMarked(mark.id);
  });
  const seen = new Map<string, unknown>();
  for (const line of run.stdout.split('\n')) {
    if (!line.startsWith('{"name"')) continue;
    const { name, seen: value } = JSON.parse(line) as { name: string; seen: unknown };
    seen.set(name, value);
  }
  return { seen, left, said: run.stderr };
}

/** One test a case: what Node's own module shows is what ours must show. The modules of a table are run at a time. */
export function compareTable(file: string, cases: Table, modules: readonly Module[]): void {
  for (const node of nodes) {
    let runs: PromiseSettledResult<Awaited<ReturnType<typeof see>>>[] = [];
    describe(`a Node${versionOf(node)}`, () => {
      beforeAll(async () => {
        runs = await inLanes(2, ['node' as const, ...modules], (which) => see(node, which, file));
      }, 480_000);

      for (const [i, which] of modules.entries()) {
        const both = () => [resultOf(runs[0]), resultOf(runs[i + 1])] as const;
        it(`who starts the children, and leaves none [${which}]`, () => {
          const [theirs, ours] = both();
          expect(theirs.seen.get(''), theirs.said).toMatchObject({ engine: 0 });
          const { engine } = ours.seen.get('') as { engine: number };
          expect(engine, ours.said).toBeGreaterThan(0);
          expect([...theirs.left, ...ours.left]).toEqual([]);
        });
        it.each(Object.keys(cases))(`%s [${which}]`, (name) => {
          const [theirs, ours] = both();
          expect(theirs.seen.has(name), `node's own got there\n${theirs.said}`).toBe(true);
          expect(ours.seen.has(name), `ours got there\n${ours.said}`).toBe(true);
          expect(ours.seen.get(name)).toEqual(theirs.seen.get(name));
        });
      }
    });
  }
}
