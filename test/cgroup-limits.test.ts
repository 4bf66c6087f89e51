// Limits of a containment `cgroup`. The build machines' v2 hierarchies often have hugetlb alone:
// it stands in for the mechanism; the other controllers are tested where they are (npm run test:qemu).
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type CgroupOptions,
  type ProcessGroup,
  type SpawnError,
  type SpawnOptions,
  spawn,
  sweep,
} from '../dist/index.js';
import {
  announce,
  boxed,
  cgroupMount,
  cgroupsBelow,
  processesIn,
  useControllers,
  usePlace,
  whyNoCgroup,
  whyNoController,
} from './support/boxes.js';
import { childrenOf } from './support/oracle.js';
import { deny, member } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const reason = announce('cgroup-limits', whyNoCgroup());
const scenario = useScenario();
const place = usePlace();
const teardown = [{ signal: 'SIGTERM', graceMs: 150 }] as const;
const leafOf = (group: ProcessGroup): string => group.mechanism.cgroupPath ?? expect.fail('no leaf');
const hugetlb = announce('cgroup-limits: hugetlb', whyNoController('hugetlb')) === '';
const handDown = useControllers(place);

const run = (cgroup: CgroupOptions, options: SpawnOptions = {}) =>
  spawn(member, ['sleep'], { ...boxed('cgroup', place, cgroup), env: scenario.env, teardown, ...options });
async function refused(cgroup: CgroupOptions, others: readonly number[] = []): Promise<SpawnError> {
  const error = await run(cgroup).then(
    async (group) => {
      await group.kill();
      expect.fail('it was spawned');
    },
    (reason: SpawnError) => reason,
  );
  expect(error.name).toBe('SpawnError');
  expect(error.stage).toBe('cgroup');
  expect(place.leaves()).toEqual([]);
  expect(childrenOf()).toEqual(others);
  return error;
}

describe.skipIf(reason !== '')('a limit', () => {
  it.skipIf(!hugetlb)('is set before the leader is born, and its controller handed down', async () => {
    handDown('hugetlb');
    const group = await run({ files: { 'hugetlb.2MB.max': '4194304', 'cgroup.max.descendants': '3' } });
    const file = (name: string) => readFileSync(join(leafOf(group), name), 'utf8').trim();
    expect(file('hugetlb.2MB.max')).toBe('4194304');
    expect(file('cgroup.max.descendants')).toBe('3');
    expect(readFileSync(join(place.path, 'cgroup.subtree_control'), 'utf8')).toContain('hugetlb');
    await group.kill();
  });

  it('of a controller that is not there is refused with ERR_CGROUP_CONTROLLER', async () => {
    // None is handed down to the file's parent in any case.
    const error = await refused({ memoryMaxBytes: 1 << 30 });
    expect(error).toMatchObject({
      code: 'ERR_CGROUP_CONTROLLER',
      syscall: 'write',
      path: `${place.path}/cgroup.subtree_control`,
    });
    expect(error.message).toContain("'memory'");
  });

  it.skipIf(!hugetlb)('is refused with EBUSY where the parent holds processes', async () => {
    handDown('hugetlb');
    const busy = await spawn(member, ['sleep'], { env: scenario.env, stdio: 'ignore', containment: 'group' });
    writeFileSync(join(place.path, 'cgroup.procs'), String(busy.pid));
    const error = await refused({ files: { 'hugetlb.2MB.max': '0' } }, [busy.pid]);
    expect(error).toMatchObject({ code: 'EBUSY', path: `${place.path}/cgroup.subtree_control` });
    expect(error.message).toContain('holds processes');
    // Without limits nothing is in the way.
    const group = await run({});
    expect(processesIn(leafOf(group))).toEqual([group.pid]);
    await group.kill();
    await busy.kill();
  });

  it.skipIf(!hugetlb)("with supervisor: 'move' we ourselves make room for it", async () => {
    handDown('hugetlb');
    const source = `
      const own = () => /^0::(.*)$/m.exec(nodeFs.readFileSync('/proc/self/cgroup', 'utf8'))[1];
      const before = own();
      const limited = (supervisor) => spawn(member, ['exit', '0'], { containment: 'cgroup', stdio: 'ignore',
        cgroup: { supervisor, files: { 'hugetlb.2MB.max': '0' } } });
      const refused = await limited('stay').catch(({ code }) => code);
      const stayed = own() === before;
      const made = [];
      for (let i = 0; i < 3; i++) {
        const group = i < 2 ? await limited('move') : await spawn(member, ['exit', '0'], { containment: 'cgroup', stdio: 'ignore' });
        made.push(group.mechanism.cgroupPath);
        await group.gone;
      }
      console.log(JSON.stringify({ refused, stayed, before, after: own(), paths: made, pid: process.pid }));`;
    interface Said {
      refused: string;
      stayed: boolean;
      before: string;
      after: string;
      paths: string[];
      pid: number;
    }
    const said = await runNodeJson<Said>({ source }, { env: scenario.env, via: place.inside() });
    expect(said).toMatchObject({ refused: 'EBUSY', stayed: true });
    expect(said.after).toMatch(new RegExp(`^${said.before}/procgroup\\.${said.pid}\\.[0-9.]*\\.0$`));
    for (const path of said.paths) expect(dirname(path)).toBe(place.path);
    // Where it was is left for a sweep: nobody can remove the cgroup that he is in.
    expect(await sweep({ parent: place.path })).toMatchObject([{ state: 'reaped', processes: 0 }]);
  });

  it.each([
    ['a value that is none', { 'cgroup.max.depth': 'deep' }, 'EINVAL', 'write'],
    ['no value', { 'cgroup.max.depth': '' }, 'EINVAL', 'write'],
    ['a file that is not there', { 'cgroup.max.nothing': '1' }, 'ENOENT', 'open'],
  ])('%s is refused with its file', async (_, files, code, syscall) => {
    const error = await refused({ files });
    const [file = '', value = ''] = Object.entries(files)[0] ?? [];
    expect(error.code).toMatch(code);
    expect(error.syscall).toMatch(syscall);
    expect(basename(error.path ?? '')).toBe(file);
    expect(error.message).toContain(`${file} = ${value}`);
  });

  it.each([
    ['an unknown option', { memoryMax: 5 }, 'ERR_INVALID_ARG_VALUE'],
    ['a number as text', { pidsMax: '5' }, 'ERR_INVALID_ARG_TYPE'],
    ['a negative one', { memoryMaxBytes: -1 }, 'ERR_OUT_OF_RANGE'],
    ['a fraction of a byte', { memoryHighBytes: 0.5 }, 'ERR_OUT_OF_RANGE'],
    ['no processor', { cpuMaxCores: 0 }, 'ERR_OUT_OF_RANGE'],
    ['a weight of 0', { cpuWeight: 0 }, 'ERR_OUT_OF_RANGE'],
    ['a weight too large', { ioWeight: 10_001 }, 'ERR_OUT_OF_RANGE'],
    ['a file elsewhere', { files: { '../x': '1' } }, 'ERR_INVALID_ARG_VALUE'],
    ['a file that moves processes', { files: { 'cgroup.procs': '0' } }, 'ERR_INVALID_ARG_VALUE'],
    ['a value with NUL', { files: { 'pids.max': '1\0' } }, 'ERR_INVALID_ARG_VALUE'],
    ['a relative parent', { parent: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    ['a parent that is no path', { parent: 5 }, 'ERR_INVALID_ARG_TYPE'],
    ['an unknown way out', { supervisor: 'leave' }, 'ERR_INVALID_ARG_VALUE'],
  ])('%s is refused before anything is made', async (_, cgroup, code) => {
    const options = { containment: 'cgroup', cgroup: cgroup as CgroupOptions } as const;
    await expect(spawn(member, ['exit', '0'], options)).rejects.toMatchObject({ code, stage: 'validate' });
  });

  it('is not dropped silently under another containment', async () => {
    await expect(spawn(member, ['exit', '0'], { cgroup: { pidsMax: 5 } })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });
});

describe.skipIf(reason !== '')('the parent', () => {
  it.for([
    ['that is not there', '/no/such/directory', 'ENOENT'],
    ['that is no cgroup', '/tmp', 'ERR_CGROUP_PARENT'],
    ['of the older hierarchies', '/sys/fs/cgroup', 'ERR_CGROUP_PARENT'],
  ] as const)('%s is refused', async ([, parent, code], context) => {
    if (parent === cgroupMount) return context.skip('cgroup v2 is alone here');
    expect(await refused({ parent })).toMatchObject({ code, path: parent });
  });

  it('that is threaded is refused: no cgroup below it can hold processes of its own', async () => {
    const parent = join(place.path, 'threads');
    mkdirSync(parent);
    try {
      writeFileSync(join(parent, 'cgroup.type'), 'threaded');
      const error = await run({ parent }).catch((reason) => reason);
      expect(error).toMatchObject({ name: 'SpawnError', code: 'ERR_CGROUP_PARENT', stage: 'cgroup', path: parent });
      expect(cgroupsBelow(parent)).toEqual([]);
    } finally {
      rmdirSync(parent);
    }
  });

  it('that is full is refused with EAGAIN', async () => {
    writeFileSync(join(place.path, 'cgroup.max.descendants'), '1');
    try {
      const first = await run({});
      const error = await run({}).catch((reason) => reason);
      expect(error).toMatchObject({ name: 'SpawnError', code: 'EAGAIN', stage: 'cgroup', syscall: 'mkdir' });
      await first.kill();
    } finally {
      writeFileSync(join(place.path, 'cgroup.max.descendants'), 'max');
    }
  });

  it('whose cgroups may not be made is refused with the kernel’s word', async () => {
    const source = `
      const error = await spawn(member, ['exit', '0'], ${JSON.stringify({ ...boxed('cgroup', place), stdio: 'ignore' })}).catch((e) => e);
      console.log(JSON.stringify({ code: error.code, stage: error.stage, syscall: error.syscall }));`;
    const via = [deny, 'mkdirat:EPERM', '--'];
    expect(await runNodeJson({ source }, { env: scenario.env, via })).toEqual({
      code: 'EPERM',
      stage: 'cgroup',
      syscall: 'mkdir',
    });
  });
});
