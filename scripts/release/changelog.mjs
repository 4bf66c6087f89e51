// Changesets into CHANGELOG.md, in the form of Keep a Changelog: what lies under [Unreleased], and the changesets, become a version.

export const HEADINGS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
const WIDTH = 120;

/** One entry: its heading, and its text without it. Throws where the heading is missing. */
export function entryOf({ id, summary }) {
  const [, heading, text] = /^(\w+):\s+([\s\S]+)$/.exec(summary.trim()) ?? [];
  if (!HEADINGS.includes(heading)) {
    throw new Error(`.changeset/${id}.md must begin with one of ${HEADINGS.map((name) => `"${name}:"`).join(', ')}`);
  }
  return { heading, text: text.trim() };
}

function wrap(text) {
  const lines = [];
  let line = '-';
  for (const word of text.split(/\s+/)) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** The parts of a version's text by heading; `before` is what stands ahead of the first one. */
function parse(body) {
  const [before = '', ...rest] = body.split(/^### /m);
  const parts = new Map();
  for (const part of rest) {
    const end = part.indexOf('\n');
    parts.set(part.slice(0, end).trim(), part.slice(end).trim());
  }
  return { before: before.trim(), parts };
}

/** CHANGELOG.md with a section for `version`, and nothing under [Unreleased]. `date` is YYYY-MM-DD. */
export function release(changelog, version, date, changesets) {
  const start = changelog.indexOf('## [Unreleased]');
  if (start < 0) throw new Error('CHANGELOG.md has no "## [Unreleased]"');
  const from = changelog.indexOf('\n', start) + 1;
  const next = changelog.slice(from).search(/^## \[/m);
  const end = next < 0 ? changelog.length : from + next;
  const { before, parts } = parse(changelog.slice(from, end));
  for (const { heading, text } of changesets.map(entryOf)) {
    parts.set(heading, [parts.get(heading), wrap(text)].filter(Boolean).join('\n'));
  }
  const order = [...HEADINGS, ...[...parts.keys()].filter((name) => !HEADINGS.includes(name))];
  const sections = order.filter((name) => parts.has(name)).map((name) => `### ${name}\n\n${parts.get(name)}`);
  const body = [`## [${version}] - ${date}`, before, ...sections].filter(Boolean).join('\n\n');
  return [changelog.slice(0, from).trimEnd(), body, changelog.slice(end).trim()]
    .filter(Boolean)
    .join('\n\n')
    .concat('\n');
}

/** What CHANGELOG.md says of one version, without its title. */
export function notes(changelog, version) {
  const [, body] = changelog.split(`## [${version}]`);
  if (body === undefined) throw new Error(`CHANGELOG.md has no section for ${version}`);
  return body
    .slice(body.indexOf('\n'))
    .split(/^## \[/m)[0]
    .trim();
}
