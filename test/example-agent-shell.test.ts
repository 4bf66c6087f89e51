// examples/agent-shell: a coding agent's shell tool leaves nothing, whatever its commands leave in the background.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runExample } from './support/example.js';
import { waitUntil } from './support/oracle.js';
import { root } from './support/paths.mjs';
import { readReady } from './support/ready.mjs';
import { runNodeJson, startNode } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const DETACHED = `nohup setsid "$MEMBER" grandchild-ignores-term > ready 2>&1 & until [ -s ready ]; do sleep 0.02; done`;

/** A subject with a shell in an empty folder. */
function subject(body: string): { source: string } {
  return {
    source: `
      import { ShellTool } from ${JSON.stringify(`${root}examples/agent-shell/shell-tool.mjs`)};
      const env = { ...process.env, MEMBER: member };
      const shell = new ShellTool({ cwd: process.argv.at(-1), env, maxBytes: 1_000, graceMs: 100 });
      const DETACHED = ${JSON.stringify(DETACHED)};
      const mark = process.env.PROCGROUP_TEST_MARK;
      const alive = () => oracle.alive(mark).length;
      ${body}`,
  };
}

function inFolder(): { args: string[]; env: NodeJS.ProcessEnv } {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-shell-'));
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  return { args: [folder], env: scenario.env };
}

it('agent-shell: exec() leaves a server and workers, the tool over procgroup nothing', async () => {
  const shown = await runExample(scenario, 'agent-shell/main.mjs');
  const [before = '', after = ''] = shown.split('With procgroup:');
  expect(before, 'control').toMatch(/the agent is done: [1-9]\d* processes are left/);
  for (const part of [before, after]) expect(part).toContain('between the calls the server answers');
  expect(after).toMatch(/start the server: exit .* in the background: (node(-MainThread)?|MainThread), sleep/);
  expect(after).toMatch(/a test that hangs: timeout after/);
  expect(after).toMatch(/a build that the user stops: abort after/);
  expect(after).toContain('0 processes are left, the server is gone');
  expect(scenario.alive()).toEqual([]);
});

it('agent-shell: what a command left runs on until close(), also in a session of its own', async () => {
  const seen = await runNodeJson<Record<string, unknown>>(
    subject(`
      const servers = () => oracle.alive(mark).filter(({ cmdline }) => cmdline.endsWith('grandchild-ignores-term')).length;
      const { ended, code, background } = await shell.run(DETACHED);
      const before = servers();
      const next = await shell.run('echo next; echo problem >&2; exit 4');
      const between = servers();
      const reports = await shell.close();
      const refused = await shell.run('true').catch((error) => error.message);
      console.log(JSON.stringify({ ended, code, background: background.length, before, between, next,
        empty: reports.every(({ empty }) => empty), after: alive(), refused }));`),
    inFolder(),
  );
  expect(seen).toMatchObject({ ended: 'exit', code: 0, background: 2, before: 2, between: 2, empty: true, after: 0 });
  expect(seen.next).toMatchObject({ ended: 'exit', code: 4, output: 'next\nproblem\n', omittedBytes: 0 });
  expect(seen.refused).toBe('the shell is closed');
  expect(scenario.alive()).toEqual([]);
});

it('agent-shell: a command that times out or is aborted is gone with all it started when run() resolves', async () => {
  const seen = await runNodeJson<Record<string, unknown>>(
    subject(`
      const late = await shell.run(DETACHED + '; sleep 3600', { timeoutMs: 300 });
      const afterLate = alive();
      const controller = new AbortController();
      const running = shell.run('echo up > up; sleep 3600 & wait', { signal: controller.signal });
      await oracle.waitUntil(() => nodeFs.existsSync(process.argv.at(-1) + '/up'));
      controller.abort();
      const aborted = await running;
      const again = await shell.run('true', { signal: controller.signal }).catch((error) => error.name);
      console.log(JSON.stringify({ late: late.ended, afterLate, aborted: aborted.ended, afterAbort: alive(), again }));`),
    inFolder(),
  );
  expect(seen).toEqual({ late: 'timeout', afterLate: 0, aborted: 'abort', afterAbort: 0, again: 'AbortError' });
});

it('agent-shell: output is capped at both ends, and the flood does not hold the command up', async () => {
  const { output, omittedBytes, code } = await runNodeJson<{ output: string; omittedBytes: number; code: number }>(
    subject(`
      const flood = await shell.run('echo first; head -c 3000000 /dev/zero | tr "\\\\0" x; echo; echo last; exit 2');
      await shell.close();
      console.log(JSON.stringify(flood));`),
    inFolder(),
  );
  expect(code).toBe(2);
  expect(output).toMatch(/^first\nx+\n\[\.\.\. \d+ bytes omitted \.\.\.\]\nx+\nlast\n$/);
  const kept = output.replace(/\n\[\.\.\..*\.\.\.\]\n/, '').length;
  expect([kept, kept + omittedBytes]).toEqual([1_000, 3_000_000 + 'first\n\nlast\n'.length]);
});

it('agent-shell: close() also ends what is being started', async () => {
  const seen = await runNodeJson<Record<string, unknown>>(
    subject(`
      const runs = Array.from({ length: 5 }, () => shell.run('sleep 3600'));
      const reports = await shell.close();
      const after = alive();
      const ended = await Promise.all(runs);
      console.log(JSON.stringify({ reports: reports.length, after, signals: ended.map(({ signal }) => signal) }));`),
    inFolder(),
  );
  expect(seen).toEqual({ reports: 5, after: 0, signals: Array(5).fill('SIGTERM') });
});

it('agent-shell: an agent that is SIGKILLed leaves nothing', async () => {
  const agent = startNode(
    subject(`await shell.run(DETACHED); process.stdout.write('ready {}\\n'); await shell.run('sleep 3600');`),
    inFolder(),
  );
  await readReady(agent.stdout as NonNullable<typeof agent.stdout>);
  expect(scenario.alive().length, 'control: agent, guardian and members').toBeGreaterThan(3);
  agent.kill('SIGKILL');
  await waitUntil(() => scenario.alive().length === 0, { what: 'nothing of the agent is left' });
});
