// node examples/opentelemetry/main.mjs: a job that starts processes, and what its trace and its metrics then show.
import { context, metrics, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { spawn } from 'procgroup';
import { instrument } from './instrumentation.mjs';
import { printMetrics, printSpans } from './print.mjs';

// In a program of yours: exporters that send to a collector.
const spans = new InMemorySpanExporter();
const points = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
const reader = new PeriodicExportingMetricReader({ exporter: points, exportIntervalMillis: 60_000 });
const meters = new MeterProvider({ readers: [reader] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(tracers);
metrics.setGlobalMeterProvider(meters);
const end = instrument();

await trace.getTracer('job').startActiveSpan('job 17', async (job) => {
  const options = { containment: 'tree', stdio: ['ignore', 'pipe', 'inherit'] };
  const ended = await spawn('sh', ['-c', 'exit 3'], options);
  await ended.gone;

  // The shell goes at once, the helper that it started ignores SIGTERM.
  const stubborn = await spawn('sh', ['-c', '(trap "" TERM; echo up; while :; do sleep 60; done) & wait'], {
    ...options,
    teardown: [{ signal: 'SIGTERM', graceMs: 200 }],
  });
  await new Promise((resolve) => stubborn.stdout.once('data', resolve));
  stubborn.signal('SIGWINCH');
  await stubborn.stop();

  const late = await spawn('sleep', ['60'], { ...options, timeoutMs: 100 });
  await late.gone;
  await spawn('no-such-program', [], options).catch(() => {});
  job.end();
});

end();
await meters.forceFlush();
printSpans(spans.getFinishedSpans());
printMetrics(points.getMetrics());
await Promise.all([tracers.shutdown(), meters.shutdown()]);
