// uid, gid and supplementary groups: changed in the child, after a clone that does not share memory; the guardian keeps its
// own, and the parent-death signal is armed after the change, which would clear it.
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type SpawnOptions, spawn } from '../dist/index.js';
import { isDead, waitUntil } from './support/oracle.js';
import { member } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { guardiansOf, startTree, treeactor } from './support/trees.js';
import { UID, unprivileged, whyNoMixedUids } from './support/unprivileged.js';

const reason = whyNoMixedUids();
if (reason) process.stderr.write(`guardian-identity: skipped, ${reason}\n`);

const GID = UID + 1;
const status = (pid: number, key: string) =>
  new RegExp(`^${key}:\\s*(.*)$`, 'm')
    .exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    ?.trim()
    .split(/\s+/);

describe.skipIf(reason !== '')('identity', () => {
  const scenario = useScenario();

  /** Real, effective and saved uid and gid, the parent-death signal and the groups, as the command itself finds them. */
  async function identity(options: SpawnOptions) {
    const group = await spawn(treeactor, ['identity'], {
      env: scenario.env,
      containment: 'tree',
      ...options,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    group.stdout.on('data', (chunk) => {
      text += chunk;
    });
    await waitUntil(() => text.includes('ready '));
    const [, line = ''] = /^ids (.*)$/m.exec(text) ?? [];
    const [a, b, c, d, e, f, death, ...groups] = line.split(' ').map(Number);
    return { group, uids: [a, b, c], gids: [d, e, f], death, groups: groups.sort((x, y) => x - y) };
  }

  it('uid, gid and groups are really changed, and the parent-death signal is armed', async () => {
    const { group, ...found } = await identity({ uid: UID, gid: GID, groups: [UID + 2, UID + 3] });
    expect(found).toEqual({ uids: [UID, UID, UID], gids: [GID, GID, GID], death: 9, groups: [UID + 2, UID + 3] });
    const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
    expect(status(guardian, 'Uid'), 'the guardian keeps its own').toEqual(['0', '0', '0', '0']);
    expect(status(guardian, 'Gid')).toEqual(['0', '0', '0', '0']);
    expect(await group.stop()).toMatchObject({ empty: true, evidence: 'echild' });
  });

  it.each([
    ['uid alone: our supplementary groups go', { uid: UID }, { uids: [UID, UID, UID], gids: [0, 0, 0], groups: [] }],
    ['gid alone: so they do', { gid: GID }, { uids: [0, 0, 0], gids: [GID, GID, GID], groups: [] }],
    ['no groups', { groups: [] }, { uids: [0, 0, 0], gids: [0, 0, 0], groups: [] }],
    ['none of them', {}, { uids: [0, 0, 0], gids: [0, 0, 0], death: 9 }],
  ])('%s', async (_name, options, expected) => {
    const { group, ...found } = await identity(options);
    expect(found).toMatchObject(expected);
    await group.kill();
  });

  it('another user does not keep the supplementary groups of its supervisor, unless they are given', async () => {
    const seen = await runNodeJson<number[][]>(
      {
        source: `
          const seen = [];
          for (const options of [{ uid: ${UID} }, { gid: ${GID} }, { uid: ${UID}, groups: [${GID}] }, {}]) {
            const { stdout } = await procgroup.output('id', ['-G'], { containment: 'tree', ...options });
            seen.push(stdout.trim().split(' ').map(Number).filter((id) => id >= ${UID}));
          }
          console.log(JSON.stringify(seen));`,
      },
      { env: scenario.env, via: ['setpriv', '--groups', `${UID + 7}`, '--'] },
    );
    expect(seen.slice(0, 3)).toEqual([[], [GID], [GID]]);
    expect(seen[3], 'control: without a change they are inherited').toEqual([UID + 7]);
  });

  it('the parent-death signal fires for a changed uid', async () => {
    scenario.leaves();
    const { group } = await startTree(scenario, 'member', ['ignore-term'], { uid: UID, gid: GID, groups: [] });
    const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
    process.kill(guardian, 'SIGKILL');
    await waitUntil(() => isDead(group.pid));
    expect((await group.gone).notes).toContain('guardian-lost');
  });

  it('sixty-four groups arrive; the sixty-fifth is refused before anything is started', async () => {
    const groups = Array.from({ length: 64 }, (_, i) => 70_000 + i);
    const { group, ...found } = await identity({ groups });
    expect(found.groups).toEqual(groups);
    await group.kill();
    await expect(spawn(member, [], { containment: 'tree', groups: [...groups, 1] })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });

  it('a uid without the privilege for it is a typed error, and nothing is left', async () => {
    const tries = await runNodeJson<{ code: string; stage: string; syscall: string }[]>(
      {
        source: `
          const seen = [];
          for (const options of [{ uid: 0 }, { gid: 0 }, { groups: [0] }]) {
            await spawn(member, ['sleep'], { containment: 'tree', stdio: 'ignore', ...options }).then(
              (group) => { seen.push('spawned'); return group.kill(); },
              ({ name, code, stage, syscall }) => seen.push({ name, code, stage, syscall }));
          }
          if (oracle.childrenOf().length > 0) seen.push(oracle.childrenOf());
          console.log(JSON.stringify(seen));`,
      },
      { env: scenario.env, via: unprivileged },
    );
    expect(tries).toEqual([
      { name: 'SpawnError', code: 'EPERM', stage: 'setuid', syscall: 'setresuid' },
      { name: 'SpawnError', code: 'EPERM', stage: 'setgid', syscall: 'setresgid' },
      { name: 'SpawnError', code: 'EPERM', stage: 'groups', syscall: 'setgroups' },
    ]);
    expect(scenario.alive()).toEqual([]);
    expect(guardiansOf()).toEqual([]);
  });

  it('the command may not be entered by its uid before exec: no memory of the guardian is shared', async () => {
    const { group } = await startTree(scenario, 'member', ['sleep'], { uid: UID, gid: GID, groups: [] });
    const guardian = group.mechanism.guardianPid ?? expect.fail('no guardian');
    // A guardian whose child had changed uid in shared memory would be undumpable: /proc would show it as root's only.
    expect(readFileSync(`/proc/${guardian}/environ`).length).toBeGreaterThan(0);
    const probe = await runNodeJson<string>(
      {
        source: `
          let seen = 'readable';
          try { nodeFs.readFileSync('/proc/${guardian}/environ'); } catch (error) { seen = error.code; }
          console.log(JSON.stringify(seen));`,
      },
      { env: scenario.env, via: unprivileged },
    );
    expect(probe).toBe('EACCES');
    await group.kill();
  });

  it('the working directory is entered as the new uid', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'procgroup-identity-')); // open to us alone
    scenario.defer(() => rmdirSync(cwd));
    await expect(
      spawn(member, ['sleep'], {
        env: scenario.env,
        containment: 'tree',
        uid: UID,
        gid: GID,
        groups: [],
        cwd,
      }),
    ).rejects.toMatchObject({ name: 'SpawnError', code: 'EACCES', stage: 'chdir', path: cwd });
    expect(scenario.alive()).toEqual([]);
  });

  it('control: without uid the command has the uid of its supervisor', async () => {
    const group = await spawn(treeactor, ['identity'], { env: scenario.env, containment: 'tree' });
    const ready = await readReady(group.stdout);
    expect(status(ready.pid, 'Uid')).toEqual(['0', '0', '0', '0']);
    await group.kill();
  });
});
