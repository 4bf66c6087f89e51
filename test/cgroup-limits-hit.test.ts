// What happens at a limit of a containment `cgroup`, and that the exit says which it was. Build machines may have these
// controllers on the older hierarchies: there the tests run on a kernel of their own (npm run test:qemu).
import { describe, expect, it } from 'vitest';
import { spawn } from '../dist/index.js';
import { announce, boxed, useControllers, usePlace, whyNoCgroup, whyNoController } from './support/boxes.js';
import { waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { allowance, scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const reason = announce('cgroup-limits-hit', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const handDown = useControllers(place);
const need = (controller: string): boolean =>
  announce(`cgroup-limits-hit: ${controller}`, whyNoController(controller)) === '';
const has = { memory: need('memory'), pids: need('pids'), cpu: need('cpu'), io: need('io') };

describe.skipIf(reason !== '')('limits that are hit', () => {
  it.skipIf(!has.pids)('pids.max: a fork is refused, and the exit says so', async () => {
    handDown('pids');
    const group = await spawn('/bin/sh', ['-c', 'true & true & true & true & true & wait; exit 3'], {
      ...boxed('cgroup', place, { pidsMax: 2 }),
      stdio: 'ignore',
    });
    expect((await group.exited).limitsHit).toEqual(['pids']);
    const { usage } = await group.gone;
    expect(usage?.pidsRefused).toBeGreaterThan(0);
    expect(usage?.pidsPeak ?? 2).toBeLessThanOrEqual(2);
  });

  it.skipIf(!has.memory)('memory.max: a member is killed, and the exit says so', async () => {
    handDown('memory');
    const group = await spawn(member, ['use', '10', '256'], {
      ...boxed('cgroup', place, { memoryMaxBytes: 64 << 20, memorySwapMaxBytes: 0 }),
      stdio: 'ignore',
    });
    expect(await group.exited).toMatchObject({ signal: 'SIGKILL', limitsHit: ['memory'] });
    const { usage } = await group.gone;
    expect(usage?.oomKills).toBeGreaterThan(0);
    if (usage?.memoryPeakBytes != null) expect(usage.memoryPeakBytes).toBeLessThanOrEqual(64 << 20);
  });

  it.skipIf(!has.pids)('E2: a fork bomb under pids.max is at zero within 2 s', async () => {
    handDown('pids');
    const group = await spawn('/bin/sh', ['-c', 'b() { b | b & }; b; exec sleep 300'], {
      ...boxed('cgroup', place, { pidsMax: Math.max(100, scaled(1_000)) }),
      env: scenario.env,
      stdio: 'ignore',
      teardown: [{ signal: 'SIGTERM', graceMs: 50 }],
    });
    await waitUntil(async () => ((await group.usage()).pidsRefused ?? 0) > 0, {
      timeoutMs: 30_000,
      what: 'the limit refuses',
    });
    const began = performance.now();
    expect(await group.stop()).toMatchObject({ empty: true, evidence: 'populated' });
    expect(performance.now() - began).toBeLessThan(allowance(2_000));
    expect(scenario.alive()).toEqual([]);
  });

  it.skipIf(!has.cpu)('cpu.max: a busy member gets no more than its share', async () => {
    handDown('cpu');
    const group = await spawn('/bin/sh', ['-c', 'while :; do :; done'], {
      ...boxed('cgroup', place, { cpuMaxCores: 0.1, cpuWeight: 50 }),
      stdio: 'ignore',
      teardown: [],
      timeoutMs: 1_000,
    });
    const began = performance.now();
    const { usage } = await group.gone;
    const ms = performance.now() - began;
    expect(((usage?.userCPUTime ?? 0) + (usage?.systemCPUTime ?? 0)) / 1_000 / ms).toBeLessThan(0.25);
  });
});
