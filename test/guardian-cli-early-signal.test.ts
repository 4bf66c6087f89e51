// A signal that comes in the moment in which the command's exec succeeds: it is neither too early nor too late to be handed on.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, it } from 'vitest';
import { finish } from './support/cli.js';
import { guardian, start } from './support/guardian-cli.js';
import { waitUntil } from './support/oracle.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
// strace(1) holds each read(2) of the guardian up: between its poll, which has seen the signal alone, and its look at the
// verdict the exec succeeds, which the long list of arguments makes last.
const traced = ['strace', '-D', '-o', '/dev/null', '-e', 'trace=read', '-e', 'inject=read:delay_exit=20000'];
const works = spawnSync('strace', [...traced.slice(1), 'true']).status === 0;
if (!works) console.log('guardian-cli-early-signal: skipped, strace(1) is missing or may not trace');
const long = Array.from({ length: 18 }, () => 'x'.repeat(100_000));

it.skipIf(!works)('C1: SIGTERM in the moment of exec ends the command at once, with 143', async () => {
  const ends: (number | string | null)[] = [];
  for (let round = 0; round < scaled(40); round++) {
    const child = start([...traced, guardian, '--', '/bin/sh', '-c', 'exec sleep 2', ...long], { env: scenario.env });
    await waitUntil(
      () => readFileSync(`/proc/${child.pid}/comm`, 'latin1').trim() === basename(guardian).slice(0, 15),
      {
        everyMs: 0,
      },
    );
    // 5 ms at most, to 20 ms: on a busy machine it needs longer to block its signals.
    const moment = performance.now() + Math.random() * 5 * (1 + (round % 4));
    while (performance.now() < moment);
    child.kill('SIGTERM');
    const { code, signal } = await finish(child);
    ends.push(code ?? signal);
  }
  // Before it has blocked its signals it ends by them itself.
  expect(ends.filter((end) => end !== 143 && end !== 'SIGTERM')).toEqual([]);
  expect(ends).toContain(143);
});
