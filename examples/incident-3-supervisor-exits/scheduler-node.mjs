// A scheduler by Node's own means. The error skips the clean-up, and the event loop waits for the children for ever.
import { spawn } from 'node:child_process';
import { helpers, schedule } from './schedule.mjs';

async function main() {
  const children = helpers.map(([file, args]) => spawn(file, args, { stdio: 'ignore' }));
  await schedule(Number(process.argv[2]));
  for (const child of children) child.kill();
}

main().catch((error) => {
  console.error(`scheduler: ${error.message}`);
  process.exitCode = 1;
});
