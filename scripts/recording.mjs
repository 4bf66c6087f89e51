// npm run docs:recording: runs the demo on a terminal and makes docs/demo.svg of what it printed, line by line as it came.
// The terminal is util-linux's script(1) and xterm's own parser. Paths of this machine are shortened, and times are
// stretched, so that they can be read; nothing else is changed. Usage: node scripts/recording.mjs [FILE]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import xterm from '@xterm/headless';
import { root } from './support.mjs';

const PROMPT = '\u001b[2m$\u001b[0m npm run demo\r\n';
const WIDE = 400; // of the terminal, so that no path is cut before it is shortened
const COLUMNS = 96;
const ROWS = 60;
const STRETCH = 2.5;
const PAUSE_MS = 60; // between two lines that came at once
const CELL = { width: 8.43, height: 19, font: 14 };
const MARGIN = 16;

/** What came when: [milliseconds, text]. */
function record() {
  const scratch = mkdtempSync(join(tmpdir(), 'procgroup-recording-'));
  try {
    const [out, timing] = ['out', 'timing'].map((name) => join(scratch, name));
    const demo = `stty cols ${WIDE} rows ${ROWS}; exec "${process.execPath}" examples/demo.mjs`;
    const env = { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', SHELL: '/bin/sh' };
    for (const name of ['FORCE_COLOR', 'NO_COLOR', 'NODE_DISABLE_COLORS', 'CI']) delete env[name];
    const options = ['--quiet', '--return', '--flush', '--log-out', out, '--log-timing', timing];
    execFileSync('script', [...options, '--logging-format', 'classic', '--command', demo], {
      cwd: root,
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 60_000,
    });
    const bytes = readFileSync(out);
    let at = bytes.indexOf('\n') + 1; // script's own first line
    let ms = 0;
    return readFileSync(timing, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number))
      .map(([seconds, count]) => {
        ms += seconds * 1000;
        at += count;
        return [ms, bytes.subarray(at - count, at).toString('utf8')];
      });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const shorten = (text) => text.replaceAll(process.execPath, 'node').replaceAll(`${root}/`, '').replaceAll(root, '.');

/** The words of a run, each where it stands: no space is left to how a viewer treats spaces. */
const words = ({ at, text, style }) =>
  [...text.matchAll(/\S+(?: \S+)*/g)].map((match) => ({ at: at + match.index, text: match[0], style }));

/** Runs of equally styled cells of one line of the terminal: {at, text, style}. */
function runsOf(line) {
  const runs = [];
  for (let column = 0; column < Math.min(line.length, COLUMNS); column++) {
    const cell = line.getCell(column);
    const text = cell.getChars() || ' ';
    const colour = cell.isFgPalette() ? `c${cell.getFgColor()}` : '';
    const style = [colour, cell.isBold() ? 'b' : '', cell.isDim() ? 'd' : ''].filter(Boolean).join(' ');
    const last = runs.at(-1);
    if (last?.style === style) last.text += text;
    else runs.push({ at: column, text, style });
  }
  const inked = runs.flatMap(words);
  const cut = line.translateToString(true).length > COLUMNS ? inked.at(-1) : undefined;
  if (cut !== undefined) cut.text = `${cut.text.slice(0, COLUMNS - cut.at - 1)}…`;
  return inked;
}

/** Lines with the time at which each was begun. */
async function lines(chunks) {
  const terminal = new xterm.Terminal({ cols: WIDE, rows: ROWS, allowProposedApi: true });
  const write = (text) => new Promise((resolve) => terminal.write(text, resolve));
  const times = [];
  let next = 0;
  const see = (ms) => {
    for (const last = terminal.buffer.active.cursorY; times.length < last; ) {
      next = Math.max(next + PAUSE_MS, ms);
      times.push(next);
    }
  };
  await write(PROMPT);
  see(0);
  for (const [ms, text] of chunks) {
    await write(shorten(text));
    see(600 + ms * STRETCH);
  }
  if (terminal.buffer.active.baseY > 0) throw new Error(`the demo prints more than ${ROWS} lines`);
  return times.map((ms, row) => ({ ms: Math.round(ms), runs: runsOf(terminal.buffer.active.getLine(row)) }));
}

const inXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const LIGHT = {
  fg: '#1f2328',
  bg: '#ffffff',
  edge: '#d1d9e0',
  c1: '#c1121f',
  c2: '#116329',
  c3: '#7d4e00',
  c6: '#0a5f75',
};
const DARK = {
  fg: '#e6edf3',
  bg: '#0d1117',
  edge: '#3d444d',
  c1: '#ff7b72',
  c2: '#56d364',
  c3: '#e3b341',
  c6: '#76e3ea',
};
const variables = (colours) =>
  Object.entries(colours)
    .map(([name, value]) => `--${name}:${value}`)
    .join(';');

function svg(shown) {
  const width = Math.ceil(COLUMNS * CELL.width + 2 * MARGIN);
  const height = shown.length * CELL.height + 2 * MARGIN;
  const rows = shown.flatMap(({ ms, runs }, row) => {
    if (runs.length === 0) return [];
    const y = MARGIN + row * CELL.height + CELL.font;
    const spans = runs.map(({ at, text, style }) => {
      const x = (MARGIN + at * CELL.width).toFixed(1).replace('.0', '');
      return `<tspan x="${x}"${style ? ` class="${style}"` : ''}>${inXml(text)}</tspan>`;
    });
    return [`<text y="${y}" style="animation-delay:${ms}ms">${spans.join('')}</text>`];
  });
  const colours = ['c1', 'c2', 'c3', 'c6'].map((name) => `.${name}{fill:var(--${name})}`).join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>npm run demo: a tree of six processes is drawn, stopped and proved to be gone; child.kill() leaves four of them running</title>
<style>
svg{${variables(LIGHT)}}
@media (prefers-color-scheme:dark){svg{${variables(DARK)}}}
rect{fill:var(--bg);stroke:var(--edge)}
text{font:${CELL.font}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;fill:var(--fg);animation:a 1ms both}
.b{font-weight:bold}.d{opacity:.65}${colours}
@keyframes a{from{visibility:hidden}to{visibility:visible}}
@media (prefers-reduced-motion:reduce){text{animation:none}}
</style>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8"/>
${rows.join('\n')}
</svg>
`;
}

const file = process.argv[2] ?? join(root, 'docs/demo.svg');
const shown = await lines(record());
writeFileSync(file, svg(shown));
console.log(`${file}: ${shown.length} lines, ${shown.at(-1).ms} ms`);
