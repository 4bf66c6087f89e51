// Spans as a tree and metrics as a table: what a collector's user interface would draw.

const ms = ([seconds, nanos]) => seconds * 1e3 + nanos / 1e6;
const attributes = (of) =>
  Object.entries(of)
    .filter(([name]) => !/pid|pgid|at_ms|exception/.test(name))
    .map(([name, value]) => `${name.replace(/^(procgroup|process)\./, '')}=${value}`)
    .join(' ');

export function printSpans(spans) {
  const print = (parent, indent) => {
    const children = spans.filter((span) => span.parentSpanContext?.spanId === parent);
    for (const span of children.sort((a, b) => ms(a.startTime) - ms(b.startTime))) {
      const status = span.status.code === 2 ? ` ERROR ${span.status.message}` : '';
      console.log(`${indent}${span.name} (${ms(span.duration).toFixed(0)} ms) ${attributes(span.attributes)}${status}`);
      for (const event of span.events) console.log(`${indent}  · ${event.name} ${attributes(event.attributes ?? {})}`);
      print(span.spanContext().spanId, `${indent}  `);
    }
  };
  print(undefined, '');
}

export function printMetrics(exports) {
  console.log('');
  for (const { descriptor, dataPoints } of exports.at(-1).scopeMetrics.flatMap(({ metrics }) => metrics)) {
    for (const { value, attributes: labels } of dataPoints) {
      const shown = typeof value === 'number' ? value : `${value.count} × ${(value.sum / value.count).toFixed(3)} s`;
      console.log(`${descriptor.name} ${shown} ${attributes(labels)}`.trimEnd());
    }
  }
}
