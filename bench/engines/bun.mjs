// Bun.spawn. Runs under Bun only.
export function make() {
  const { Bun } = globalThis;
  return {
    async run(program, args) {
      const code = await Bun.spawn([program, ...args], { stdio: ['ignore', 'ignore', 'ignore'] }).exited;
      if (code !== 0) throw new Error(`${program} ended with ${code}`);
    },
    async collect(program, args) {
      const child = Bun.spawn([program, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
      const [said] = await Promise.all([new Response(child.stdout).text(), child.exited]);
      return said;
    },
    async hold(program, args) {
      const child = Bun.spawn([program, ...args], { stdio: ['ignore', 'ignore', 'ignore'] });
      return { pid: child.pid, end: () => child.kill(9) ?? child.exited };
    },
  };
}
