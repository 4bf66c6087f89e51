// containment 'strongest': what this machine grants, said on the handle; never where it would drop what was asked for.
import { describe, expect, it } from 'vitest';
import { spawn } from '../dist/index.js';
import { type SuperviseOptions, supervise } from '../dist/supervise.js';
import { announce, boxed, usePlace, whyNoCgroup, whyNoNamespace } from './support/boxes.js';
import { deny, member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const place = usePlace();
const reason = announce('strongest', whyNoCgroup() || whyNoNamespace());
const NO_NAMESPACE = 'clone3:ENOSYS,clone/namespaces:EPERM';

/** What was chosen under a filter, and with which proof it ended. */
const chosen = (denied: string, more: object = {}, env: NodeJS.ProcessEnv = {}) =>
  runNodeJson<string>(
    {
      source: `
        const options = { containment: 'strongest', stdio: 'ignore', ...${JSON.stringify(more)} };
        const answer = await spawn(member, ['exit', '0'], options).then(
          async (group) => group.mechanism.containment + ' ' + (await group.gone).evidence, ({ code, stage }) => code + ' at ' + stage);
        console.log(JSON.stringify(answer));`,
    },
    { env: { ...scenario.env, ...env }, via: denied === '' ? [] : [deny, denied, '--'] },
  );

describe.skipIf(reason !== '')('strongest', () => {
  it('is a namespace where that is granted', async () => {
    const group = await spawn(member, ['exit', '3'], { containment: 'strongest', stdio: 'ignore' });
    expect(group.mechanism.containment).toBe('namespace');
    expect(await group.exited).toMatchObject({ code: 3 });
    expect(await group.gone).toMatchObject({ covers: 'namespace' });
  });

  it('else a cgroup, else a tree; a guardian that cannot be started is an error', async () => {
    expect(await chosen(NO_NAMESPACE)).toBe('cgroup populated');
    expect(await chosen('mount:EPERM')).toBe('cgroup populated');
    expect(await chosen(`${NO_NAMESPACE},mkdirat:EPERM`)).toBe('tree echild');
    expect(await chosen('', {}, { PROCGROUP_TEST_GUARDIAN: '/no/such/guardian' })).toBe('ENOENT at guardian');
  });

  it('is so for supervise() too', async () => {
    const became: string[] = [];
    const run = (options: SuperviseOptions) =>
      supervise(member, ['exit', '0'], {
        containment: 'strongest',
        onRun: ({ mechanism }) => became.push(mechanism.containment),
        ...options,
      }).outcome;
    expect(await run({})).toMatchObject({ kind: 'exited', error: null });
    expect(await run({ cgroup: boxed('cgroup', place).cgroup ?? {} })).toMatchObject({ kind: 'exited', error: null });
    expect(became).toEqual(['namespace', 'cgroup']);
    expect(() => supervise(member, [], { containment: 'strongest', cwd: '' })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
    );
  });

  it('with limits is a cgroup or nothing', async () => {
    const { cgroup } = boxed('cgroup', place);
    expect(await chosen('', { cgroup })).toBe('cgroup populated');
    expect(await chosen('mkdirat:EPERM', { cgroup })).toBe('EPERM at cgroup');
  });

  it('in our own process group is no namespace', async () => {
    expect(await chosen('', { isolation: 'inherit' })).toBe('cgroup populated');
    expect(await chosen('mkdirat:EPERM', { isolation: 'inherit' })).toBe('tree echild');
  });

  it('a shortage of descriptors is no word on what the machine grants', async () => {
    const source = `
      const attempt = (containment) => spawn(member, ['exit', '0'], { containment, stdio: 'ignore' }).then(
        async (group) => { await group.gone; return group.mechanism.containment; }, ({ code }) => code);
      await attempt('group');
      const held = [], seen = [];
      try { for (;;) held.push(nodeFs.openSync('/dev/null')); } catch {}
      for (let free = 0; free < 20; free++) {
        seen.push(await attempt('cgroup'));
        nodeFs.closeSync(held.pop());
      }
      console.log(JSON.stringify([...new Set(seen)]));`;
    const via = ['/bin/sh', '-c', 'ulimit -n 96; exec "$@"', 'sh'];
    expect(await runNodeJson({ source }, { env: scenario.env, via })).toEqual(['EMFILE', 'cgroup']);
  });

  it('does not hide what is wrong with the command', async () => {
    await expect(spawn('/no/such', [], { containment: 'strongest' })).rejects.toMatchObject({
      code: 'ENOENT',
      stage: 'exec',
    });
    await expect(spawn(member, [], { containment: 'strongest', cwd: '/no/such' })).rejects.toMatchObject({
      stage: 'chdir',
    });
    await expect(spawn(member, [], { containment: 'strong' as 'tree' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });
});
