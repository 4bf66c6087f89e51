import { stripVTControlCharacters, styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** How to print: colours only where a person looks, box-drawing unless the locale or the terminal cannot. */
export interface Style {
  readonly colour: boolean;
  readonly unicode: boolean;
  /** Columns, or Infinity where the output is no terminal. */
  readonly width: number;
  paint(format: Format, text: string): string;
}

interface Output {
  isTTY?: boolean;
  columns?: number;
}

/** FORCE_COLOR, then NO_COLOR and NODE_DISABLE_COLORS, then the terminal, in that order, as Node does it. */
function wantsColour(output: Output, env: NodeJS.ProcessEnv): boolean {
  const force = env.FORCE_COLOR;
  if (force !== undefined) return force !== '0' && force !== 'false';
  if (env.NO_COLOR || env.NODE_DISABLE_COLORS) return false;
  return output.isTTY === true && env.TERM !== 'dumb';
}

function wantsUnicode(env: NodeJS.ProcessEnv): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || 'UTF-8';
  return /utf-?8/i.test(locale) && env.TERM !== 'dumb';
}

export function styleFor(output: Output, env: NodeJS.ProcessEnv = process.env): Style {
  const colour = wantsColour(output, env);
  return {
    colour,
    unicode: wantsUnicode(env),
    width: output.isTTY === true && (output.columns ?? 0) > 0 ? (output.columns as number) : Number.POSITIVE_INFINITY,
    paint: (format, text) => (colour ? styleText(format, text, { validateStream: false }) : text),
  };
}

/** Names and arguments are chosen by the processes: no control character of theirs reaches the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => (char === '\n' || char === '\t' ? ' ' : '\u{fffd}'));
}

const WIDE =
  /[\u{1100}-\u{115f}\u{2e80}-\u{303e}\u{3041}-\u{a4cf}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff00}-\u{ff60}\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

function cells(char: string): number {
  return /\p{Mn}/u.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
}

/** Terminal columns that the text takes, colours not counted. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of stripVTControlCharacters(text)) width += cells(char);
  return width;
}

/** At most `width` columns of plain text; what is cut off is shown by an ellipsis. */
export function truncate(text: string, width: number, style: Style): string {
  if (width === Number.POSITIVE_INFINITY || displayWidth(text) <= width) return text;
  const ellipsis = style.unicode ? '…' : '~';
  let used = 1;
  let kept = '';
  for (const char of text) {
    used += cells(char);
    if (used > width) break;
    kept += char;
  }
  return width < 1 ? '' : kept + ellipsis;
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

export function formatBytes(bytes: number): string {
  let value = bytes / 1024;
  for (const unit of ['K', 'M', 'G']) {
    if (value < 1000) return `${value < 10 && unit !== 'K' ? value.toFixed(1) : value.toFixed(0)}${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)}T`;
}

/** '340ms', '3.1s', '12m04s', '2h05m', '9d03h'. */
export function formatAge(seconds: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${two((seconds % 86_400) / 3600)}h`;
}

export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}
