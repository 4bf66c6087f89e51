// Containment `cgroup` without privilege: below what was delegated to us, and nowhere else.
import { chownSync, mkdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SpawnOptions } from '../dist/index.js';
import { announce, useControllers, usePlace, whyNoCgroup, whyNoController } from './support/boxes.js';
import { waitUntil } from './support/oracle.js';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { UID, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const reason = announce('cgroup-delegated', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const handDown = useControllers(place);
const hugetlb = announce('cgroup-delegated: hugetlb', whyNoController('hugetlb')) === '';
const mixed = whyNoMixedUids();
describe.skipIf(reason !== '' || mixed !== '')('for nobody', () => {
  const asNobody = (options: SpawnOptions, via: readonly string[]) =>
    runNodeJson<{
      code?: string;
      message?: string;
      path?: string | null;
      report?: { empty: boolean; evidence: string };
      inside?: string;
    }>(
      {
        source: `
          const options = ${JSON.stringify({ ...options, stdio: ['ignore', 'pipe', 'inherit'] })};
          const answer = await spawn('/bin/sh', ['-c', 'cat /proc/self/cgroup'], options).then(async (group) => {
            let text = '';
            group.stdout.on('data', (chunk) => { text += chunk; });
            const report = await group.gone;
            await group.closed;
            return { path: group.mechanism.cgroupPath, report, inside: /^0::(.*)$/m.exec(text)[1] };
          }, ({ code, message, path }) => ({ code, message, path }));
          console.log(JSON.stringify(answer));`,
      },
      { env: scenario.env, via: [...via, ...unprivileged] },
    );

  it('without a delegated parent: ERR_CGROUP_PARENT', async () => {
    const answer = await asNobody({ containment: 'cgroup' }, []);
    expect(answer).toMatchObject({ code: 'ERR_CGROUP_PARENT' });
    expect(answer.message).toContain('not delegated');
  });

  it('a delegated parent is found: our own cgroup', async () => {
    place.delegate();
    const { path, report, inside } = await asNobody({ containment: 'cgroup' }, place.inside());
    expect(report).toMatchObject({ empty: true, evidence: 'populated' });
    expect(path?.startsWith(`${place.path}/procgroup.`)).toBe(true);
    expect(inside?.endsWith(`/${basename(path ?? '')}`)).toBe(true);
  });

  it('a given parent beyond our own is refused: the common ancestor is not ours', async () => {
    place.delegate();
    const answer = await asNobody({ containment: 'cgroup', cgroup: { parent: place.path } }, []);
    expect(answer).toMatchObject({ code: 'EACCES' });
    expect(place.leaves()).toEqual([]);
  });

  it.skipIf(!hugetlb)('limits go below a delegated parent without processes, one level up', async () => {
    handDown('hugetlb');
    place.delegate();
    const own = join(place.path, 'own');
    mkdirSync(own);
    for (const file of ['', 'cgroup.procs']) chownSync(join(own, file), UID, UID);
    const via = ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', own];
    const { path, report } = await asNobody(
      { containment: 'cgroup', cgroup: { files: { 'hugetlb.2MB.max': '0' } } },
      via,
    );
    expect(report).toMatchObject({ empty: true });
    expect(path?.startsWith(`${place.path}/procgroup.`)).toBe(true);
    await waitUntil(() => {
      rmdirSync(own);
      return true;
    });
  });
});
