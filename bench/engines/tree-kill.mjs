// child_process with tree-kill, from npm, fetched by --peers: what a teardown by snapshots of ps costs.
import { spawn } from 'node:child_process';
import { groupGone } from './child-process.mjs';

const { default: treeKill } = await import(process.env.BENCH_TREE_KILL ?? 'tree-kill');

export function make() {
  return {
    async group(program, args) {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break;
      return {
        async end() {
          await new Promise((resolve, reject) =>
            treeKill(child.pid, 'SIGKILL', (error) => (error ? reject(error) : resolve())),
          );
          await groupGone(child.pid);
        },
      };
    },
  };
}
