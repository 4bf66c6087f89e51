// The documentation: links that lead somewhere, channels that are all described, and an API reference that is made without a warning.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { channels } from '../dist/index.js';
import { root } from './support/paths.mjs';

const pages = [
  ...['README', 'CHANGELOG', 'SECURITY', 'CONTRIBUTING', 'CODE_OF_CONDUCT'].map((name) => `${name}.md`),
  ...['.changeset', 'bench', 'prebuilds'].map((folder) => `${folder}/README.md`),
  ...readdirSync(`${root}docs`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.startsWith('api/'))
    .map((name) => `docs/${name}`),
];

/** Anchors as GitHub makes them from headings. */
const anchors = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

function dead(page: string, text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : join(dirname(page), path);
    if (!existsSync(root + target)) return [`${page}: ${link}`];
    if (anchor === undefined || anchors(readFileSync(root + target, 'utf8')).includes(anchor)) return [];
    return [`${page}: ${link}`];
  });
}

it('docs: every relative link leads somewhere', () => {
  expect(pages.length).toBeGreaterThan(8);
  expect(pages.flatMap((page) => dead(page, readFileSync(root + page, 'utf8')))).toEqual([]);
  const bad = '[a](none.md) [b](README.md#none) [c](README.md)';
  expect(dead('docs/README.md', bad), 'control').toEqual(['docs/README.md: none.md', 'docs/README.md: README.md#none']);
});

it('docs: the index names every page, and every example has its command in it', () => {
  const index = readFileSync(`${root}docs/README.md`, 'utf8');
  for (const page of pages.filter((name) => name.startsWith('docs/') && name !== 'docs/README.md')) {
    expect(index).toContain(`(${page.slice('docs/'.length)})`);
  }
  for (const name of readdirSync(`${root}examples`)) {
    if (existsSync(`${root}examples/${name}/main.mjs`)) expect(index).toContain(`node examples/${name}/main.mjs`);
  }
});

it('docs: every channel is described', () => {
  const text = readFileSync(`${root}docs/diagnostics.md`, 'utf8');
  expect(Object.keys(channels)).toEqual(['spawn', 'exit', 'signal', 'teardown', 'adopt', 'lease', 'scope']);
  for (const name of Object.keys(channels)) expect(text).toContain(`\`procgroup:${name}\``);
});

interface Run {
  code: number;
  said: string;
}

function reference(folder: string, ...more: string[]): Promise<Run> {
  const args = ['run', '--silent', 'docs:api', '--', '--out', folder, ...more];
  const env = { ...process.env, NO_COLOR: '1', npm_config_update_notifier: 'false' };
  return new Promise((resolve) => {
    execFile('npm', args, { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, said: stdout + stderr }),
    );
  });
}

/** typedoc compiles the whole package: some seconds where nothing else runs. */
const REFERENCE_MS = 240_000;

function inFolder<T>(act: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-docs-'));
  return act(folder).finally(() => rmSync(folder, { recursive: true, force: true }));
}

it.concurrent('docs: the API reference covers every export, without a warning', { timeout: REFERENCE_MS }, () =>
  inFolder(async (folder) => {
    const { code, said } = await reference(folder);
    expect(code, said).toBe(0);
    expect(said).not.toContain('[warning]');
    const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { exports: object };
    const made = readdirSync(join(folder, 'modules'));
    expect(made).toHaveLength(Object.keys(exports).filter((name) => name !== './package.json').length);
    expect(made).toEqual(expect.arrayContaining(['index.html', 'posix.html']));
    expect(existsSync(join(folder, 'functions/index.spawn.html'))).toBe(true);
  }),
);

it.concurrent('docs: control: a warning fails the API reference', { timeout: REFERENCE_MS }, () =>
  inFolder(async (folder) => {
    const { code, said } = await reference(folder, '--requiredToBeDocumented', 'Property');
    expect(said).toContain('does not have any documentation');
    expect(code).not.toBe(0);
  }),
);
