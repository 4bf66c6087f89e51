// The working directory is that of the call: spawn() answers later, and the program may have called chdir meanwhile.
// Whatever is relative counts from there: the program, PATH, options.cwd, the files of stdio.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usableBoxes, usePlace } from './support/boxes.js';
import { runNodeJson } from './support/run-node.js';
import { scaled } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const place = usePlace();
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'procgroup-workdir-'));
  for (const name of ['one', 'two']) {
    mkdirSync(join(dir, name, 'bin'), { recursive: true });
    writeFileSync(join(dir, name, 'file'), `${name}\n`);
    for (const script of ['say', 'bin/tool']) {
      writeFileSync(join(dir, name, script), `#!/bin/sh\necho ${name}\n`);
      chmodSync(join(dir, name, script), 0o755);
    }
  }
});
afterAll(() => rmSync(dir, { recursive: true }));

const containments = ['leader', 'group', 'tree', ...usableBoxes('working-directory')] as const;

describe.each(containments)('containment %s', (containment) => {
  const prelude = () => `
    const dir = ${JSON.stringify(dir)};
    const options = ${JSON.stringify({ containment, ...(containment === 'cgroup' && { cgroup: { parent: place.path } }) })};
    const said = (file, args, more) => output(file, args, { ...options, ...more })
      .then(({ code, stdout }) => code + ' ' + stdout.trim().replace(dir + '/', ''), (error) => error.stage + ' ' + error.code);`;

  it('many spawns between two calls of chdir() are each where they were asked for', async () => {
    const source = `${prelude()}
      const ways = {
        cwd: () => said('pwd', ['-P']),
        program: () => said('./say', []),
        'options.cwd': () => said('pwd', ['-P'], { cwd: 'bin' }),
        stdio: () => said('cat', [], { stdio: [{ file: 'file' }, 'pipe', 'inherit'] }),
        PATH: () => said('tool', [], { env: { PATH: 'bin' } }),
        'PATH from options.cwd': () => said('tool', [], { cwd: 'bin', env: { PATH: '.' } }),
      };
      const wrong = [];
      let count = 0;
      for (let round = 0; round < ${scaled(3)}; round++) {
        const asked = [];
        for (const name of ['one', 'two', 'one', 'two']) {
          process.chdir(dir + '/' + name);
          for (const [way, ask] of Object.entries(ways)) {
            const expected = '0 ' + name + (way === 'options.cwd' ? '/bin' : '');
            asked.push(ask().then((answer) => { if (answer !== expected) wrong.push(way + ': ' + answer + ', not ' + expected); }));
          }
          process.chdir('/');
        }
        count += asked.length;
        await Promise.all(asked);
      }
      console.log(JSON.stringify({ wrong, count }));`;
    expect(await runNodeJson({ source }, { env: scenario.env })).toEqual({ wrong: [], count: 24 * scaled(3) });
  });

  it('one that has been removed is as good as it is to child_process', async () => {
    const source = `${prelude()}
      nodeFs.mkdirSync(dir + '/gone-' + options.containment);
      process.chdir(dir + '/gone-' + options.containment);
      nodeFs.rmdirSync(dir + '/gone-' + options.containment);
      const node = (file, args, more) => {
        const { status, stdout, error } = nodeProcess.spawnSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], ...more });
        return error ? error.code : status + ' ' + stdout.trim();
      };
      const asked = [['true', []], ['ls', ['-A']], ['/bin/pwd', ['-P']], ['./say', []], ['true', [], { cwd: 'bin' }], ['true', [], { cwd: '/' }]];
      const ours = await Promise.all(asked.map(([file, args, more]) => said(file, args, { stdio: ['ignore', 'pipe', 'ignore'], ...more })));
      console.log(JSON.stringify({ ours: ours.map((answer) => answer.replace(/^(chdir|exec|lookup) /, '')), node: asked.map((one) => node(...one)) }));`;
    const { ours, node } = await runNodeJson<{ ours: string[]; node: string[] }>({ source }, { env: scenario.env });
    expect(ours).toEqual(node);
    expect(node).toEqual(['0', '0', '1', 'ENOENT', 'ENOENT', '0'].map((word) => expect.stringContaining(word)));
  });

  it('a descriptor that is not open stays EBADF', async () => {
    const source = `${prelude()}
      const answers = [];
      for (let i = 0; i < 4; i++) {
        const lowest = nodeFs.openSync('/dev/null');
        nodeFs.closeSync(lowest);
        answers.push(await said('true', [], { stdio: ['ignore', 'ignore', 'ignore', lowest] }));
      }
      console.log(JSON.stringify(answers));`;
    const answers = await runNodeJson<string[]>({ source }, { env: scenario.env });
    expect(answers).toEqual(Array(4).fill('stdio EBADF'));
  });
});
