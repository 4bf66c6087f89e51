// What check.mjs counts the system calls of: node check-subject.mjs PROGRAM LEADER CONTAINMENT spawns|teardown COUNT
import { spawn } from '../dist/index.js';

const [program, leader, containment, what, count] = process.argv.slice(2);
for (let i = 0; i < Number(count); i++) {
  if (what === 'spawns') {
    const child = await spawn(program, [], { stdio: 'ignore', containment });
    await child.exited;
    await child.gone;
  } else {
    const child = await spawn(leader, ['--lead', '100'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      containment,
      teardown: [],
    });
    for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break;
    const report = await child.kill();
    if (!report.empty) throw new Error(JSON.stringify(report.survivors));
  }
}
