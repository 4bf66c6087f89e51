import { capabilities } from '../doctor-info.js';
import { parseStrict, UsageError } from './parse.js';
import { printLines } from './print.js';
import { displayWidth, padEnd, type Style, styleFor, truncate } from './style.js';

export const DOCTOR_HELP = `Usage: procgroup doctor [options]

Tells which kernel features this machine really allows (each is tried, not guessed from the version), what stands in for
a missing one, which containments work (each is tried with a program of its own), and what to change where one does not.

  --json    one JSON object instead of the tables
  --help    this text

Exit status: 0; 1 where the containment 'group' is not available; 125 on bad use or failure.
`;

type Capabilities = Awaited<ReturnType<typeof capabilities>>;

export async function doctor(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseStrict(args, {
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help === true) {
    await printLines([DOCTOR_HELP.trimEnd()]);
    return 0;
  }
  if (positionals.length > 0) throw new UsageError(`unexpected argument '${positionals[0]}'`);
  const found = await capabilities();
  await printLines(
    values.json === true ? [JSON.stringify(found, null, 2)] : renderDoctor(found, styleFor(process.stdout)),
  );
  return found.containments.some(({ name, available }) => name === 'group' && available) ? 0 : 1;
}

/** The tables as lines. */
export function renderDoctor({ kernel, arch, node, features, containments }: Capabilities, style: Style): string[] {
  const mark = (available: boolean): string =>
    available ? style.paint('green', style.unicode ? '✔' : '+') : style.paint('red', style.unicode ? '✘' : '-');
  const featureRows = features.map(({ name, since, available, errno, usedFor, fallback }) => [
    mark(available),
    available ? name : style.paint('red', name),
    style.paint('dim', since),
    available ? usedFor : `${usedFor}: ${fallback}${errno === null ? '' : ` (${errno})`}`,
  ]);
  const containmentRows = containments.map(({ name, available, why }) => [
    mark(available),
    available ? style.paint('bold', name) : style.paint('dim', name),
    why,
  ]);
  const fixes = containments.flatMap(({ name, fix }) =>
    fix === null ? [] : [`${INDENT}${style.paint('bold', name)}: ${fix}`],
  );
  return [
    `${style.paint('bold', `Linux ${kernel}`)} ${arch}, Node ${node}`,
    '',
    style.paint('bold', 'Kernel features'),
    ...table(featureRows, style),
    '',
    style.paint('bold', 'Containments'),
    ...table(containmentRows, style),
    ...(fixes.length === 0 ? [] : ['', style.paint('bold', 'What to change'), ...fixes]),
  ];
}

const INDENT = '  ';

/** Columns as wide as their widest cell; the last one, which is plain text, is cut at the terminal's edge. */
function table(rows: readonly string[][], style: Style): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => displayWidth(row[at] as string))));
  return rows.map((row) => {
    const fixed = row.slice(0, -1).map((cell, at) => padEnd(cell, widths[at] as number));
    const left = `${INDENT}${fixed.join('  ')}  `;
    return left + truncate(row.at(-1) as string, style.width - displayWidth(left), style);
  });
}
