// examples/opentelemetry: the diagnostics channels as spans and metrics of the real SDK; whoever does not use it needs none of it.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { runExample } from './support/example.js';
import { dist, root } from './support/paths.mjs';
import { runNodeJson } from './support/run-node.js';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();

it('opentelemetry: a trace of processes, spawns and teardowns below the caller, and the metrics', async () => {
  const shown = (await runExample(scenario, 'opentelemetry/main.mjs')).replace(/\d+ ms/g, 'N ms').replace(/ +$/gm, '');
  const [spans = '', metrics = ''] = shown.split('\n\n');
  expect(spans.split('\n').map((line) => line.replace(/ \(.*/, ''))).toEqual([
    'job 17',
    '  process sh',
    expect.stringMatching(/^ {4}· exit exit\.code=3/),
    '    spawn',
    '  process sh',
    expect.stringMatching(/^ {4}· signal signal=SIGWINCH target=\w+$/),
    expect.stringMatching(/^ {4}· exit exit\.signal=SIGTERM/),
    '    spawn',
    '    teardown',
    expect.stringMatching(/^ {6}· signal signal=SIGTERM target=\w+$/),
    expect.stringMatching(/^ {6}· signal signal=SIGKILL target=\w+$/),
    '  process sleep',
    expect.stringMatching(/^ {4}· exit exit\.signal=SIGTERM/),
    '    spawn',
    '    teardown',
    expect.stringMatching(/^ {6}· signal signal=SIGTERM target=\w+$/),
    '  process no-such-program',
    '    · exception',
    '    spawn',
    '      · exception',
  ]);
  expect(spans).toContain('teardown (N ms) teardown.cause=stop teardown.empty=true teardown.evidence=echild');
  expect(spans).toContain('error.type=ENOENT ERROR spawn no-such-program ENOENT');
  expect(metrics.split('\n')).toEqual(
    expect.arrayContaining([
      'procgroup.groups.active 0',
      expect.stringMatching(/^procgroup\.spawn\.duration 3 × [\d.]+ s$/),
      expect.stringMatching(/^procgroup\.spawn\.duration 1 × [\d.]+ s error\.type=ENOENT$/),
      expect.stringMatching(
        /^procgroup\.teardown\.duration 1 × [\d.]+ s teardown\.cause=timeout teardown\.empty=true$/,
      ),
      'procgroup.exits 1 exit.code=3',
      'procgroup.exits 2 exit.signal=SIGTERM',
    ]),
  );
  expect(scenario.alive()).toEqual([]);
});

const recorded = (options: string) =>
  runNodeJson<{ spans: string; count: number; later: number; active: number }>(
    {
      source: `
      import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader }
        from '@opentelemetry/sdk-metrics';
      import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
      import { instrument } from ${JSON.stringify(`${root}examples/opentelemetry/instrumentation.mjs`)};
      const exporter = new InMemorySpanExporter();
      const points = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
      const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
      const reader = new PeriodicExportingMetricReader({ exporter: points, exportIntervalMillis: 3_600_000 });
      const meters = new MeterProvider({ readers: [reader] });
      const stdio = 'ignore';
      const early = await spawn(member, ['sleep'], { stdio });
      const end = instrument({ tracer: tracers.getTracer('t'), meter: meters.getMeter('m'), ${options} });
      await early.stop();
      const group = await spawn(member, ['sleep', '--password=hunter2'], { stdio, env: { ...process.env, TOKEN: 'hunter2' } });
      const adopted = await attach(group.pgid);
      await attach(process.ppid + 0.5).catch(() => {});
      await adopted.stop();
      await group.gone;
      await meters.forceFlush();
      const spans = exporter.getFinishedSpans();
      const text = JSON.stringify(spans.map(({ name, attributes, events }) => ({ name, attributes, events })));
      end();
      await (await spawn(member, ['exit', '0'], { stdio })).gone;
      const metrics = points.getMetrics().at(-1).scopeMetrics.flatMap((scope) => scope.metrics);
      const active = metrics.find(({ descriptor }) => descriptor.name === 'procgroup.groups.active').dataPoints[0].value;
      console.log(JSON.stringify({
        spans: text, count: spans.length, later: exporter.getFinishedSpans().length - spans.length, active,
      }));
      await meters.shutdown();`,
    },
    { env: scenario.env },
  );

it('opentelemetry: no argument and no environment is recorded unasked, and the end is an end', async () => {
  const { spans, count, later, active } = await recorded('');
  expect(spans).not.toContain('hunter2');
  const names = (JSON.parse(spans) as { name: string }[]).map(({ name }) => name).sort();
  expect(names).toEqual(['process group', 'process member', 'spawn', 'teardown']);
  expect({ count, later, active }).toEqual({ count: 4, later: 0, active: 0 });
  expect((await recorded("recordArguments: 'always'")).spans, 'control: asked for').toContain('hunter2');
});

it('opentelemetry: the package itself knows nothing of it', () => {
  const { dependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { dependencies?: object };
  expect(dependencies).toBe(undefined);
  const built = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  expect(built.length).toBeGreaterThan(10);
  for (const name of built) expect(readFileSync(dist + name, 'utf8'), name).not.toMatch(/from '@(?!types)/);
});
