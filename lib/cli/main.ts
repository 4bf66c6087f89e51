import { readFileSync } from 'node:fs';
import { UsageError } from './parse.js';
import { printLines, warn } from './print.js';

const HELP = `Usage: procgroup <command> [options]

  run [options] -- command [args]   run a command as a contained process tree, leave nothing behind
  sweep [directory]...              remove what a procgroup that was killed has left behind
  kill <pid|-pgid>...               end what already runs, and verify that it is gone
  tree [pid]...                     draw processes with group, session, state, age and memory
  doctor                            what this machine's kernel allows

  --help                            this text; procgroup <command> --help tells more
  --version                         the version

Exit status 125 stands for bad use or a failure of procgroup itself.
`;

/** Own failure, as in env(1) and timeout(1). */
const FAILED = 125;

type Command = (args: readonly string[]) => Promise<number>;

const tell = (text: () => string) => async () => async () => {
  await printLines([text()]);
  return 0;
};
const help = tell(() => HELP.trimEnd());
const ownVersion = tell(version);

// Loaded on demand. `run` and `sweep` are not among them: bin/procgroup becomes the guardian for them.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  ...{ '--help': help, '-h': help, help, '--version': ownVersion, '-V': ownVersion },
  kill: async () => (await import('./kill.js')).kill,
  tree: async () => (await import('./tree.js')).tree,
  doctor: async () => (await import('./doctor.js')).doctor,
};

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    warn('procgroup: no command given: run, sweep, kill, tree or doctor (procgroup --help)');
    return FAILED;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    warn(`procgroup: unknown ${name.startsWith('-') ? 'option' : 'command'} '${name}' (procgroup --help)`);
    return FAILED;
  }
  try {
    return await (await load())(rest);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const hint = error instanceof UsageError ? ` (procgroup ${name} --help)` : '';
    warn(`procgroup ${name}: ${text.replaceAll('\n', ' ')}${hint}`);
    return FAILED;
  }
}

void main(process.argv.slice(2)).then((status) => process.exit(status));
