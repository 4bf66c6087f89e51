// What a workload prints: bounded, kept as a tail, and in nobody's way.
import { describe, expect, it } from 'vitest';
import { runNode, runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';
import { work, workloads } from './support/workloads.js';
import { head } from './support/workloads.mjs';

const scenario = useScenario();
const MIB = 2 ** 20;

describe('T4 output', () => {
  it('T4: 100 MiB of stderr that nobody reads: it exits, and the tail is bounded', async () => {
    const { value, end, grown } = await runNodeJson<{
      value: number;
      end: { exit: { code: number }; stdout: string; stderr: string };
      grown: number;
    }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const before = process.memoryUsage().rss;
          const payload = { stderr: 'e'.repeat(${MIB} - 1) + '\\n', times: 100 };
          const run = runWorkload(${JSON.stringify(workloads.href)}, payload, { exportName: 'prints', tailChars: 1000 });
          const value = await run;
          const grown = (process.memoryUsage().rss - before) / ${MIB};
          console.log(JSON.stringify({ value, end: await run.ended, grown }));`,
      },
      { env: scenario.env },
    );
    expect(value).toBe(100);
    expect(end.exit).toMatchObject({ code: 0 });
    expect(end.stderr.length).toBe(1_000);
    expect(end.stderr.endsWith('e\nend of stderr\n')).toBe(true);
    expect(end.stdout).toBe('end of stdout\n');
    expect(grown).toBeLessThan(60);
  });

  it('what the workload prints on stdout disturbs neither the channel nor our stdout', async () => {
    const noise = Buffer.concat([head(10), Buffer.from('ready {}\n{"kind":"value"}\n')]).toString('latin1');
    const { value, tail } = await runNodeJson<{ value: number; tail: string }>(
      {
        source: `
          const { runWorkload } = await import(paths.dist + 'workload.js');
          const run = runWorkload(${JSON.stringify(workloads.href)}, { stdout: ${JSON.stringify(noise)} }, { exportName: 'prints' });
          const value = await run;
          console.log(JSON.stringify({ value, tail: (await run.ended).stdout }));`,
      },
      { env: scenario.env },
    );
    expect(value).toBe(1);
    expect(tail).toBe(`${noise}end of stdout\n`);
  });

  it("'inherit' and 'ignore'", async () => {
    const outputs = async (stdout: string, stderr: string) => {
      const source = `
        const { runWorkload } = await import(paths.dist + 'workload.js');
        const options = { exportName: 'prints', stdout: '${stdout}', stderr: '${stderr}' };
        const run = runWorkload(${JSON.stringify(workloads.href)}, {}, options);
        await run;
        const { stdout, stderr } = await run.ended;
        console.log(JSON.stringify({ stdout, stderr }));`;
      const run = await runNode({ source }, { env: scenario.env });
      expect(run.code).toBe(0);
      return [run.stdout, run.stderr];
    };
    const none = '{"stdout":"","stderr":""}\n';
    expect(await outputs('inherit', 'ignore')).toEqual([`end of stdout\n${none}`, '']);
    expect(await outputs('ignore', 'inherit')).toEqual([none, 'end of stderr\n']);
  });

  it('a tail begins with a whole character', async () => {
    const run = work(scenario, 'prints', { stdout: '\u{1f600}'.repeat(100) }, { tailChars: 17 });
    await run;
    expect((await run.ended).stdout).toBe('\u{1f600}end of stdout\n');
    const none = work(scenario, 'prints', {}, { tailChars: 0 });
    await none;
    expect(await none.ended).toMatchObject({ stdout: '', stderr: '' });
  });
});
