// procgroup's diagnostics_channel events as OpenTelemetry spans and metrics. Needs @opentelemetry/api and nothing of
// procgroup: the channels are had by name, and cost nothing until this file subscribes to them.
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { basename } from 'node:path';
import { context, metrics, SpanStatusCode, trace } from '@opentelemetry/api';

const VERSION = '1.0.0';

/**
 * One span a group, from spawn() or attach() until nobody is left, below the span that is active in the caller. In it: a span
 * for the spawn, one for the teardown, and events for signals, leases and the leader's exit. A non-zero exit code is data;
 * an error is what failed: a spawn, or a teardown with survivors. Arguments are recorded on request only: they may hold
 * secrets. Returns a function that ends the instrumentation.
 */
export function instrument({
  tracer = trace.getTracer('procgroup', VERSION),
  meter = metrics.getMeter('procgroup', VERSION),
  recordArguments = 'never',
} = {}) {
  const active = meter.createUpDownCounter('procgroup.groups.active', { unit: '{group}' });
  const spawnTime = meter.createHistogram('procgroup.spawn.duration', { unit: 's' });
  const teardownTime = meter.createHistogram('procgroup.teardown.duration', { unit: 's' });
  const exits = meter.createCounter('procgroup.exits', { unit: '{exit}' });
  const survivors = meter.createCounter('procgroup.survivors', { unit: '{process}' });
  const leases = meter.createCounter('procgroup.lease.events', { unit: '{event}' });
  /** By message: what is under way. By handle: the span of the group's life. */
  const pending = new WeakMap();
  const lives = new WeakMap();

  const below = (parent, name, options) => tracer.startSpan(name, options, trace.setSpan(context.active(), parent));

  function fail(span, error) {
    span.recordException(error);
    span.setAttribute('error.type', error.code ?? error.name);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }

  function settle(message, life) {
    const { result: group, error } = message;
    if (error !== undefined) {
      fail(life, error);
      life.end();
      return;
    }
    lives.set(group, life);
    life.setAttributes({ 'process.pid': group.pid, 'procgroup.pgid': group.pgid });
    active.add(1);
    void group.gone.then(() => {
      active.add(-1);
      life.end();
    });
  }

  const spawn = {
    start(message) {
      const { file, argv, isolation, containment } = message;
      const attributes = {
        'process.executable.name': basename(file),
        'process.args_count': argv.length,
        'procgroup.isolation': isolation,
        'procgroup.containment': containment,
        ...(recordArguments === 'always' && { 'process.command_args': [...argv] }),
      };
      const life = tracer.startSpan(`process ${basename(file)}`, { attributes });
      pending.set(message, { life, span: below(life, 'spawn'), began: performance.now() });
    },
    asyncEnd(message) {
      const { life, span, began } = pending.get(message) ?? {};
      if (life === undefined) return; // subscribed in the middle of it
      const { error } = message;
      spawnTime.record((performance.now() - began) / 1_000, error && { 'error.type': error.code ?? error.name });
      if (error) fail(span, error);
      span.end();
      settle(message, life);
    },
  };

  const adopt = {
    start: (message) => pending.set(message, { life: tracer.startSpan('process group', {}) }),
    asyncEnd(message) {
      const { life } = pending.get(message) ?? {};
      if (life !== undefined) settle(message, life);
    },
  };

  const teardown = {
    start(message) {
      const life = lives.get(message.group);
      if (life !== undefined) pending.set(message, below(life, 'teardown'));
    },
    asyncEnd(message) {
      const { empty, cause, evidence, covers, durationMs, steps, survivors: left } = message.result;
      const labels = { 'procgroup.teardown.cause': cause ?? 'none', 'procgroup.teardown.empty': empty };
      teardownTime.record(durationMs / 1_000, labels);
      if (left.length > 0) survivors.add(left.length);
      const span = pending.get(message);
      if (span === undefined) return;
      span.setAttributes({ ...labels, 'procgroup.teardown.evidence': evidence, 'procgroup.containment': covers });
      for (const { signal, target, atMs } of steps) {
        span.addEvent('signal', { signal, target, 'procgroup.teardown.at_ms': atMs });
      }
      for (const { pid, comm, state } of left) span.addEvent('survivor', { 'process.pid': pid, comm, state });
      if (!empty) span.setStatus({ code: SpanStatusCode.ERROR, message: `${left.length} survived` });
      span.end();
    },
  };

  const plain = {
    'procgroup:exit'({ group, exit: { code, signal, coreDumped, status } }) {
      exits.add(1, signal === null ? { 'process.exit.code': code ?? -1 } : { 'procgroup.exit.signal': signal });
      const ended = {
        ...(code !== null && { 'process.exit.code': code }),
        ...(signal && { 'procgroup.exit.signal': signal }),
      };
      lives
        .get(group)
        ?.setAttributes(ended)
        .addEvent('exit', { ...ended, coreDumped, status });
    },
    'procgroup:signal'({ group, signal, target, error }) {
      lives
        .get(group)
        ?.addEvent('signal', { signal, target: target ?? 'none', ...(error && { 'error.type': error.code }) });
    },
    'procgroup:lease'({ group, event, misses }) {
      leases.add(1, { event });
      lives.get(group)?.addEvent(`lease ${event}`, { misses });
    },
  };

  const operations = Object.entries({ spawn, adopt, teardown });
  for (const [name, events] of operations) tracingChannel(`procgroup:${name}`).subscribe(events);
  for (const [name, listener] of Object.entries(plain)) subscribe(name, listener);
  return () => {
    for (const [name, events] of operations) tracingChannel(`procgroup:${name}`).unsubscribe(events);
    for (const [name, listener] of Object.entries(plain)) unsubscribe(name, listener);
  };
}
