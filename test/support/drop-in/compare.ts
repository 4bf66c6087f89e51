import { expect, it } from 'vitest';
import { root } from '../paths.mjs';
import { runNode } from '../run-node.js';
import type { Scenario } from '../scenario.js';

export type Table = Record<string, (tools: never) => unknown>;
export type Module = 'node' | 'import' | 'require' | 'preload';

/** The Node executables to compare on: those of PROCGROUP_TEST_NODES, separated by colons, else the one that runs. */
export const nodes = process.env.PROCGROUP_TEST_NODES?.split(':').filter(Boolean) ?? [process.execPath];
/** For the title of a test: which of them it is about. */
export const versionOf = (node: string): string => (nodes.length > 1 ? ` ${node.split('/').at(-1)}` : '');

async function see(scenario: Scenario, node: string, which: Module, table: string) {
  const file = `${root}test/support/drop-in/run.mjs`;
  const run = await runNode(file, { args: [which, table], node, env: scenario.env, timeoutMs: 120_000 });
  const seen = new Map<string, unknown>();
  for (const line of run.stdout.split('\n')) {
    if (!line.startsWith('{"name"')) continue;
    const { name, seen: value } = JSON.parse(line) as { name: string; seen: unknown };
    seen.set(name, value);
  }
  return { seen, said: run.stderr };
}

/** One test a case: what Node's own module shows is what ours must show. */
export function compareTable(scenario: Scenario, file: string, cases: Table, modules: readonly Module[]): void {
  for (const node of nodes) {
    const theirs = once(() => see(scenario, node, 'node', file));
    for (const which of modules) {
      const ours = once(() => see(scenario, node, which, file));
      it(`who starts the children [${which}${versionOf(node)}]`, async () => {
        expect((await theirs()).seen.get(''), (await theirs()).said).toMatchObject({ engine: 0 });
        const { engine } = (await ours()).seen.get('') as { engine: number };
        expect(engine, (await ours()).said).toBeGreaterThan(0);
      });
      for (const name of Object.keys(cases)) {
        it(`${name} [${which}${versionOf(node)}]`, async () => {
          const [a, b] = [await theirs(), await ours()];
          expect(a.seen.has(name), `node's own got there\n${a.said}`).toBe(true);
          expect(b.seen.has(name), `ours got there\n${b.said}`).toBe(true);
          expect(b.seen.get(name)).toEqual(a.seen.get(name));
        });
      }
    }
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
