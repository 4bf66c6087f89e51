// npm run bench:chart -- [RESULT.json [FOLDER]]: SVG charts of a result of run.mjs, light and dark: without a folder those that
// the documentation shows, from bench/results/latest.json into docs/charts; with one all of the result. ECharts
// draws them without a browser; it is a dependency of bench/ alone, installed there at the first use.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { round } from './support.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));
const [file = join(bench, 'results/latest.json'), folder] = process.argv.slice(2);
const target = folder ?? join(bench, '../docs/charts');
const { machine, rounds, results } = JSON.parse(readFileSync(file, 'utf8'));

if (!existsSync(join(bench, 'node_modules/echarts'))) {
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock'], { cwd: bench, stdio: 'inherit' });
}
const echarts = await import('echarts');

const themes = {
  light: { text: '#1f2328', faint: '#8c959f', own: '#0969da', other: '#afb8c1', floor: '#57606a' },
  dark: { text: '#e6edf3', faint: '#6e7681', own: '#58a6ff', other: '#484f58', floor: '#8b949e' },
};

/** Bars of one comparison, the best at the top. */
function draw({ title, unit, better, rows }, theme) {
  const shown = rows
    .filter((row) => row.values)
    .sort((a, b) => (better === 'higher' ? a.median - b.median : b.median - a.median));
  const values = shown.map((row) => row.median);
  const wide = Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 50;
  const colour = (name) =>
    /procgroup|^(leader|group|tree|cgroup|namespace)$/.test(name)
      ? theme.own
      : /floor/.test(name)
        ? theme.floor
        : theme.other;
  const height = 70 + shown.length * 30;
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 760, height });
  const font = { color: theme.text, fontFamily: 'system-ui, sans-serif' };
  chart.setOption({
    animation: false,
    title: {
      text: `${title} [${unit}${wide ? ', logarithmic' : ''}]`,
      subtext: `${better} is better; median of ${rounds} rounds in turns; Node ${machine.node.slice(1)}, Linux ${machine.kernel.split('-')[0]}, ${machine.cpus} x ${machine.model}`,
      textStyle: { ...font, fontSize: 14 },
      subtextStyle: { ...font, color: theme.faint, fontSize: 10 },
    },
    grid: { left: 210, right: 70, top: 52, bottom: 8 },
    xAxis: { type: wide ? 'log' : 'value', show: false },
    yAxis: {
      type: 'category',
      data: shown.map((row) => row.name),
      axisTick: { show: false },
      axisLine: { show: false },
      axisLabel: font,
    },
    series: [
      {
        type: 'bar',
        barWidth: 18,
        data: shown.map((row) => ({ value: row.median, itemStyle: { color: colour(row.name) } })),
        label: { show: true, position: 'right', ...font, formatter: ({ value }) => String(round(value)) },
      },
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

mkdirSync(target, { recursive: true });
const slug = (text) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
/** What docs/performance.md shows. */
const SHOWN = [
  'spawn-rate-a-static-program-64-in-flight',
  'spawn-rss-2-gib-resident',
  'loop-delay-p99',
  'exit-notice-spawn-to-exit-5000-alive',
  'teardown-1000-members',
  'containment-cost-spawn-to-the-notice-of-the-exit',
  'load-import',
];
const name = (result) => `${result.measure}-${slug(result.title)}`;
const drawn = results.filter((result) => folder !== undefined || SHOWN.includes(name(result)));
const missing = folder === undefined ? SHOWN.filter((shown) => !drawn.some((result) => name(result) === shown)) : [];
if (missing.length > 0) throw new Error(`not in the result: ${missing.join(', ')}`);
for (const result of drawn) {
  for (const [light, theme] of Object.entries(themes)) {
    writeFileSync(join(target, `${name(result)}-${light}.svg`), draw(result, theme));
  }
}
console.log(`${drawn.length * 2} charts in ${target}`);
