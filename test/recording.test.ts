// The recording in the README: made of a real run by one command, small, in light and dark, without a path of the machine.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { subjectEnv } from './support/environment.mjs';
import { root } from './support/paths.mjs';
import { useScenario } from './support/scenario.js';

const scenario = useScenario();
const committed = `${root}docs/demo.svg`;

function check(file: string) {
  expect(statSync(file).size).toBeLessThan(100_000);
  const svg = readFileSync(file, 'utf8');
  expect(svg).toContain('@media (prefers-color-scheme:dark)');
  expect(svg).toContain('@media (prefers-reduced-motion:reduce)');
  for (const said of ['$ npm run demo', '✔ /proc agrees: nobody is left', 'child.kill()', 'still answers']) {
    expect(svg.replace(/<[^>]*>|\s/g, ' ').replace(/ +/g, ' ')).toContain(said);
  }
  expect(svg).not.toContain(root.replace(/\/$/, ''));
  // Whose path is absolute is none of ours: the program's, a home, a temporary folder.
  expect(svg).not.toMatch(/(?<![\w:./])\/(usr|home|root|tmp|opt|work|var|nix)\b/);
  return svg;
}

it('recording: what is committed is what the README shows', () => {
  check(committed);
  expect(readFileSync(`${root}README.md`, 'utf8')).toContain('docs/demo.svg');
});

it('recording: the command makes such a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'procgroup-recording-'));
  scenario.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'demo.svg');
  await promisify(execFile)(process.execPath, ['scripts/recording.mjs', file], {
    cwd: root,
    env: subjectEnv(scenario.env),
  });
  const lines = (svg: string) => svg.match(/<text/g)?.length;
  expect(lines(check(file))).toBe(lines(readFileSync(committed, 'utf8')));
  expect(scenario.alive()).toEqual([]);
});
