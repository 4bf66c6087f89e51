import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NAME = 'procgroup/register';

/** What names the preload at `url`, by our name or by a path that is relative to the working directory. */
function names(value: string, url: string): boolean {
  return value === NAME || value === url || (/^\.\.?\//.test(value) && pathToFileURL(resolve(value)).href === url);
}

function absolute(option: string, value: string, url: string): string | undefined {
  if (!names(value.replace(/^"(.*)"$/, '$1'), url)) return undefined;
  if (option === '--import') return url;
  if (option !== '--require' && option !== '-r') return undefined;
  const path = fileURLToPath(url); // which --require takes; in NODE_OPTIONS it may need its quotes
  return value.startsWith('"') || /[\s"\\]/.test(path) ? JSON.stringify(path) : path;
}

/**
 * Node resolves the name of a preload from the folder that a process is started in. Puts `url`, which is absolute, in place
 * of the name, after `--import`, `--require` or `-r`, as one word or as two. True where something was changed.
 */
export function absolutePreload(words: string[], url: string): boolean {
  let changed = false;
  words.forEach((word, i) => {
    const at = word.indexOf('=');
    const option = at < 0 ? words[i - 1] : word.slice(0, at);
    const found = option === undefined ? undefined : absolute(option, at < 0 ? word : word.slice(at + 1), url);
    if (found === undefined) return;
    words[i] = at < 0 ? found : `${option}=${found}`;
    changed = true;
  });
  return changed;
}

/** The same in the text of NODE_OPTIONS. */
export function absoluteNodeOptions(text: string, url: string): string {
  const words = text.split(' ');
  return absolutePreload(words, url) ? words.join(' ') : text;
}

/**
 * For the words that forks of this Node are given. Node 20 loads `--import` while messages to a cluster worker already arrive,
 * which are lost then: there `--require`, which loads at once, takes its place, where it takes ES modules.
 */
export function absoluteExecArgv(words: string[], url: string): void {
  absolutePreload(words, url);
  const { features, versions } = process as {
    features: { require_module?: boolean };
    versions: NodeJS.ProcessVersions;
  };
  if (!features.require_module || !versions.node.startsWith('20.')) return;
  const path = fileURLToPath(url);
  words.forEach((word, i) => {
    if (word === `--import=${url}`) words[i] = `--require=${path}`;
    else if (word === '--import' && words[i + 1] === url) words.splice(i, 2, '--require', path);
  });
}
