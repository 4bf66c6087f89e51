// The same scheduler with a scope: its helpers go when the body ends, and then the error is what it was.
import { ProcessScope } from 'procgroup/scope';
import { helpers, schedule } from './schedule.mjs';

async function main() {
  const teardown = [{ signal: 'SIGTERM', graceMs: 500 }];
  await ProcessScope.run(
    async (scope) => {
      for (const [file, args] of helpers) await scope.spawn(file, args, { containment: 'tree', stdio: 'ignore' });
      await schedule(Number(process.argv[2]));
    },
    { teardown },
  );
}

main().catch((error) => {
  console.error(`scheduler: ${error.message}`);
  process.exitCode = 1;
});
