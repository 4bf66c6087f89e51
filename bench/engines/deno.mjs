// Deno.Command. Runs under Deno only.
export function make() {
  const { Deno } = globalThis;
  const start = (program, args, stdout) =>
    new Deno.Command(program, { args, stdin: 'null', stdout, stderr: 'null' }).spawn();
  return {
    async run(program, args) {
      const { code } = await start(program, args, 'null').status;
      if (code !== 0) throw new Error(`${program} ended with ${code}`);
    },
    async collect(program, args) {
      const { stdout } = await new Deno.Command(program, { args, stdin: 'null', stderr: 'null' }).output();
      return new TextDecoder('latin1').decode(stdout);
    },
    async hold(program, args) {
      const child = start(program, args, 'null');
      return { pid: child.pid, end: () => child.kill('SIGKILL') ?? child.status };
    },
  };
}
