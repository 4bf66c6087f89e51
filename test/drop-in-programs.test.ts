// Programs from npm that start others, under NODE_OPTIONS='--import procgroup/register' as their users would set it: npm run,
// nodemon and pm2.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isDead, waitUntil } from './support/oracle.js';
import { member, root } from './support/paths.mjs';
import { type NodeRun, runNode, startNode } from './support/run-node.js';
import { allowance } from './support/scale.js';
import { useScenario } from './support/scenario.js';

const bin = (path: string) => realpathSync(`${root}node_modules/${path}`);
const npm = () => realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim());

/** Says through whom its children are started, and stays. */
const app = `
  const { spawn } = require('node:child_process');
  const child = spawn(${JSON.stringify(member)}, ['-r', '1', 'setsid'], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.once('data', () => console.log('app', child._handle.constructor.name, process.env.MARKER ?? ''));
  setInterval(() => {}, 1000);
`;

describe('programs under the preload', () => {
  const scenario = useScenario();
  let folder = '';
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'procgroup-programs-')));
    scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'procgroup'));
    writeFileSync(join(folder, 'app.cjs'), app);
  });

  const env = (containment: string): NodeJS.ProcessEnv => ({
    ...scenario.env,
    NODE_OPTIONS: '--import procgroup/register',
    PROCGROUP_CONTAINMENT: containment,
    PM2_HOME: join(folder, 'pm2'),
    npm_config_update_notifier: 'false',
  });
  const start = (file: string, args: string[], containment = '') =>
    startNode(file, { args, cwd: folder, env: env(containment) });
  const run = (file: string, args: string[], containment = ''): Promise<NodeRun> =>
    runNode(file, { args, cwd: folder, env: env(containment) });

  /** Starts a program, waits for the word of `app`, kills the program, and tells who is left. */
  async function killed(file: string, args: string[], containment: string): Promise<number> {
    const program = start(file, args, containment);
    let text = '';
    program.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    await waitUntil(() => /app (EngineHandle|Process)/.test(text), {
      timeoutMs: allowance(30_000),
      what: 'the word of the app',
    });
    expect(text).toContain('app EngineHandle');
    program.kill('SIGKILL');
    await new Promise((resolve) => program.once('exit', resolve));
    if (containment === '') return scenario.alive().length;
    await waitUntil(() => scenario.alive().length === 0);
    return 0;
  }

  it('npm run: output and exit status of a script', async () => {
    const script = 'echo from $npm_lifecycle_event && exit 3';
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'x', scripts: { hello: script } }));
    const { code, stdout } = await run(npm(), ['run', 'hello']);
    expect([code, stdout.includes('from hello')]).toEqual([3, true]);
  });

  it('npm run: SIGKILL of npm leaves nothing under PROCGROUP_CONTAINMENT=tree', async () => {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'x', scripts: { app: 'node app.cjs' } }));
    expect(await killed(npm(), ['run', 'app'], 'tree')).toBe(0);
    scenario.leaves();
    expect(await killed(npm(), ['run', 'app'], ''), 'control').toBeGreaterThan(0);
  });

  it('nodemon: restarts its program and ends it', async () => {
    const file = join(folder, 'watched.cjs');
    const write = (text: string) => writeFileSync(file, `console.log('${text}'); setInterval(() => {}, 1000);`);
    write('first');
    const nodemon = start(bin('nodemon/bin/nodemon.js'), ['--quiet', '--delay', '0.05', file]);
    let text = '';
    nodemon.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    await waitUntil(() => text.includes('first'));
    const again = () => {
      if (!text.includes('second')) write('second'); // it watches from a moment of its own on
      return text.includes('second');
    };
    await waitUntil(again, { everyMs: allowance(500) });
    nodemon.kill('SIGINT');
    await new Promise((resolve) => nodemon.once('close', resolve));
    await waitUntil(() => scenario.alive().length === 0);
  });

  it('nodemon: SIGKILL of nodemon leaves nothing under PROCGROUP_CONTAINMENT=tree', async () => {
    const args = ['--quiet', '--exec', `${process.execPath} app.cjs`];
    expect(await killed(bin('nodemon/bin/nodemon.js'), args, 'tree')).toBe(0);
    scenario.leaves();
    expect(await killed(bin('nodemon/bin/nodemon.js'), args, ''), 'control').toBeGreaterThan(0);
  });

  describe('pm2', () => {
    const pm2 = (args: string[], containment = '') => run(bin('pm2/bin/pm2'), args, containment);
    const daemon = () => Number(readFileSync(join(folder, 'pm2', 'pm2.pid'), 'utf8'));
    const list = async (containment = '') => {
      const { stdout } = await pm2(['jlist'], containment);
      return JSON.parse(stdout.slice(stdout.indexOf('['))) as {
        pid: number;
        name: string;
        pm2_env: { status: string; restart_time: number };
      }[];
    };
    const log = (name: string) => {
      const file = join(folder, 'pm2', 'logs', name);
      return existsSync(file) ? readFileSync(file, 'utf8') : '';
    };
    afterEach(async () => {
      if (existsSync(join(folder, 'pm2', 'pm2.pid'))) await pm2(['kill']);
    });

    it.each(['fork', 'cluster'])(
      'starts, restarts, stops and forgets a program in mode %s',
      async (mode) => {
        const args = mode === 'cluster' ? ['-i', '1'] : [];
        const started = await pm2(['start', 'app.cjs', '--name', 'it', ...args]);
        expect(started.code, started.stderr).toBe(0);
        const [first] = await list();
        expect(first).toMatchObject({ name: 'it', pm2_env: { status: 'online', restart_time: 0 } });
        expect(isDead(first?.pid ?? 0)).toBe(false);
        const out = mode === 'cluster' ? 'it-out-0.log' : 'it-out.log';
        await waitUntil(() => log(out).includes('app EngineHandle'));
        await pm2(['restart', 'it']);
        const [second] = await list();
        expect(second).toMatchObject({ pm2_env: { status: 'online', restart_time: 1 } });
        expect(second?.pid).not.toBe(first?.pid);
        await pm2(['stop', 'it']);
        expect((await list())[0]).toMatchObject({ pid: 0, pm2_env: { status: 'stopped' } });
        await pm2(['delete', 'it']);
        expect(await list()).toEqual([]);
        scenario.leaves(); // what left its session is nobody's
      },
      120_000,
    );

    it('the daemon outlives the command under PROCGROUP_CONTAINMENT=tree; SIGKILL of it leaves nothing', async () => {
      await pm2(['start', 'app.cjs', '--name', 'it', '-i', '1'], 'tree');
      expect(isDead(daemon())).toBe(false);
      expect(await list('tree')).toMatchObject([{ pm2_env: { status: 'online' } }]);
      await waitUntil(() => log('it-out-0.log').includes('app EngineHandle'));
      process.kill(daemon(), 'SIGKILL');
      await waitUntil(() => scenario.alive().length === 0);
      rmSync(join(folder, 'pm2'), { recursive: true, force: true });
    }, 120_000);

    it('control: without it SIGKILL of the daemon leaves the program', async () => {
      scenario.leaves();
      await pm2(['start', 'app.cjs', '--name', 'it', '-i', '1']);
      await waitUntil(() => log('it-out-0.log').includes('app EngineHandle'));
      process.kill(daemon(), 'SIGKILL');
      await waitUntil(() => isDead(daemon()));
      expect(scenario.alive().length).toBeGreaterThan(0);
      rmSync(join(folder, 'pm2'), { recursive: true, force: true });
    }, 120_000);
  });
});
