// execa, from npm, fetched by --peers.
const { execa } = await import(process.env.BENCH_EXECA ?? 'execa');

export function make() {
  return {
    run: (program, args) => execa(program, args, { stdio: 'ignore', cleanup: false }),
    async collect(program, args) {
      return (await execa(program, args, { stdin: 'ignore', stderr: 'inherit', stripFinalNewline: false })).stdout;
    },
  };
}
