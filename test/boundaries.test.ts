// Who may call what: the walls that the guarantees rest on, read from the sources and from the object file.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { root } from './support/paths.mjs';

function files(folder: string, pattern: RegExp): string[] {
  return readdirSync(root + folder, { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name}`)
    .filter(
      (name) => pattern.test(name) && !/(^|\/)(\.build|node_modules)\//.test(name) && statSync(root + name).isFile(),
    )
    .sort();
}

const NATIVE = /\.(cc|h|c|cpp|hpp)$/;

/** Source without comments and string literals, line numbers kept. `#include "x"` keeps its name. */
function code(path: string): string {
  const text = readFileSync(root + path, 'utf8');
  const blank = (part: string) => part.replace(/[^\n]/g, ' ');
  return text.replace(
    /^[ \t]*#[ \t]*include.*$|\/\*[\s\S]*?\*\/|\/\/.*$|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+'|`(?:[^`\\]|\\[\s\S])*`/gm,
    (part) => (part.includes('include') && part.trimStart().startsWith('#') ? part : blank(part)),
  );
}

interface Hit {
  at: string;
  line: string;
}

function hits(paths: readonly string[], pattern: RegExp): Hit[] {
  return paths.flatMap((path) =>
    code(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [{ at: `${path}:${index + 1}`, line: line.trim() }] : [])),
  );
}

function outside(paths: readonly string[], allowed: readonly string[], pattern: RegExp): Hit[] {
  return hits(
    paths.filter((path) => !allowed.some((prefix) => path === prefix || path.startsWith(prefix))),
    pattern,
  );
}

const native = files('native', NATIVE);
const core = native.filter((path) => path.startsWith('native/core/'));
const lib = files('lib', /\.ts$/);

/** One hit at least in the file that may: a pattern that matches nothing proves nothing. */
function only(allowed: string, pattern: RegExp, paths: readonly string[] = native) {
  expect(outside(paths, [allowed], pattern)).toEqual([]);
  expect(
    hits(
      paths.filter((path) => path.startsWith(allowed)),
      pattern,
    ),
    `control: ${allowed}`,
  ).not.toEqual([]);
}

const group = 'native/core/group.cc';
const GROUP_KILL = /\bkillpg\s*\(|\bkill\s*\(\s*-|\b(SYS|__NR)_t?g?kill\b|\bkill\s*\(\s*[^)\s]/;
const EXEC =
  /\b(execve|execv|execvp|execvpe|execl|execlp|execle|fexecve|execveat|posix_spawnp?)\s*\(|\b(SYS|__NR)_execve(at)?\b/;
const WAIT_FOR_ANY =
  /\bP_ALL\b|\bP_PGID\b|\b(waitpid|wait4)\s*\(\s*(-1|0|-\s*\w+)\s*,|\bwait3?\s*\(\s*(nullptr|NULL|0|&\w+)/;

describe('boundaries of the native code', () => {
  it('boundary: signals by number are sent in core/group.cc alone', () => {
    only(group, GROUP_KILL);
  });

  it('boundary: exec happens in core/child.cc alone', () => {
    only('native/core/child.cc', EXEC);
  });

  it('boundary: nobody waits for any child, except the guardian', () => {
    expect(outside(native, ['native/guardian/'], WAIT_FOR_ANY)).toEqual([]);
    for (const line of [
      'waitpid(-1, &s, 0)',
      'wait4(-1, nullptr, 0, nullptr)',
      'waitid(P_ALL, 0, &i, 0)',
      'wait(&status)',
    ]) {
      expect(WAIT_FOR_ANY.test(line), `control: ${line}`).toBe(true);
    }
    expect(WAIT_FOR_ANY.test('waitpid(pid, &s, 0)')).toBe(false);
  });

  it('boundary: no subreaper, no SIGCHLD handler and no signalfd in the addon', () => {
    expect(
      outside(
        native,
        ['native/guardian/'],
        /PR_SET_CHILD_SUBREAPER|\bsignalfd4?\s*\(|\bsigaction\s*\(\s*SIG|\bsignal\s*\(\s*SIG/,
      ),
    ).toEqual([]);
  });

  it('boundary: only the addon knows N-API, V8 or libuv', () => {
    const pattern = /#\s*include\s*["<](napi|node_api|js_native_api|uv|v8|node)[-\w]*\.h[">]/;
    only('native/addon/', pattern);
  });

  it('boundary: core does not include the addon or the guardian', () => {
    expect(hits(core, /#\s*include\s*"(\.\.\/)*(native\/)?(addon|guardian)\//)).toEqual([]);
  });

  it('boundary: core is freestanding C++: no exceptions, threads, RTTI, allocating containers', () => {
    const headers =
      'string|vector|map|unordered_map|set|list|deque|thread|mutex|condition_variable|future|functional|memory|iostream|sstream|fstream|stdexcept|exception|typeinfo|algorithm|optional|variant';
    expect(hits(core, new RegExp(`#\\s*include\\s*<(${headers})>`))).toEqual([]);
    expect(
      hits(
        core,
        /\bthrow\b|\btry\s*\{|\bcatch\s*\(|\bdynamic_cast\b|\btypeid\b|\bstd::(thread|string|vector|function|mutex)\b/,
      ),
    ).toEqual([]);
    expect(hits(core, /\bthread_local\b/)).toEqual([]);
  });

  it('boundary: the loop does not sleep', () => {
    expect(
      outside(
        native,
        ['native/core/spawn.cc', 'native/guardian/tree_kill.cc'],
        /\b(usleep|sleep|nanosleep|clock_nanosleep)\s*\(/,
      ),
    ).toEqual([]);
  });
});

const undefinedOf = (object: string) =>
  execFileSync('nm', ['--undefined-only', '--format=posix', object], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name && name !== '_GLOBAL_OFFSET_TABLE_');

describe('boundary: the object files', () => {
  function childObject(): string {
    const found = files('build/Release', /\/child\.o$/);
    expect(found, 'child.o in the build folder').toHaveLength(1);
    return root + found[0];
  }

  it('boundary: child.o needs no symbol of anybody', () => {
    expect(undefinedOf(childObject())).toEqual([]);
  });

  it('boundary: control: another object of core does need symbols', () => {
    const [other] = files('build/Release', /\/spawn\.o$/);
    expect(undefinedOf(root + other)).toContain('pipe2');
  });

  it('boundary: core links without a C++ runtime: no operator new, exception, RTTI, guard or thread', () => {
    const objects = files('build/Release', /\/procgroup_core\/.*\.o$/);
    expect(objects.length).toBeGreaterThan(5);
    const runtime = /^(_Zn[wa]|_Zd[la]P|__cxa_|__gxx_|_Unwind|_ZTI|_ZTVN10__cxxabiv1|_ZNSt|_ZSt|pthread_create|thrd_)/;
    const found = objects.flatMap((object) =>
      undefinedOf(root + object)
        .filter((name) => runtime.test(name))
        .map((name) => `${object.split('/').at(-1)}: ${name}`),
    );
    expect(found).toEqual([]);
    const addon = files('build/Release', /\/addon\/.*engine\.o$/).flatMap((object) => undefinedOf(root + object));
    expect(
      addon.some((name) => runtime.test(name)),
      'control: the addon does need the runtime',
    ).toBe(true);
  });

  it('boundary: child.o touches no thread-local and no errno', () => {
    const disassembly = execFileSync('objdump', ['--disassemble', '--no-show-raw-insn', childObject()], {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    });
    expect(disassembly).toMatch(process.arch === 'arm64' ? /\bsvc\b/ : /\bsyscall\b/);
    expect(disassembly.split('\n').filter((line) => /%fs:|tpidr_el0/.test(line))).toEqual([]);
  });
});

describe('boundaries of lib', () => {
  it('boundary: no top-level await, so that require() works', () => {
    const built = files('dist', /\.js$/);
    expect(built.length).toBeGreaterThan(3);
    expect(hits(built, /^(await\b|(export\s+)?(const|let|var)\s[^=]*=\s*await\b)/)).toEqual([]);
  });

  it('boundary: importing the package reads two files and links nothing of Node', () => {
    const imports = (path: string) =>
      [...readFileSync(root + path, 'utf8').matchAll(/^(?:import|export)\b[^;]*?["']([^"']+)["'];?$/gm)].map(
        ([, name]) => name,
      );
    expect(imports('dist/index.js')).toEqual(['./part-core.js']);
    expect(imports('dist/part-core.js')).toEqual([]);
    expect(imports('dist/procfs.js'), 'control').toEqual(['node:fs']);
  });

  it('boundary: the library spawns, kills and handles signals by the engine alone', () => {
    // The drop-in is made of Node's own ChildProcess, whose handle it replaces.
    const dropIn = /^lib\/(child-process(\/.*)?|register)\.ts$/;
    const mechanism = lib.filter((path) => !path.startsWith('lib/cli/'));
    expect(hits(mechanism, /\bprocess\s*\.\s*kill\s*\(/)).toEqual([]);
    const imports = mechanism.filter(
      (path) =>
        !dropIn.test(path) &&
        /from 'node:child_process'|require\('child_process'\)/.test(readFileSync(root + path, 'utf8')),
    );
    expect(imports).toEqual([]);
    // Signals of the process where a supervision or a report asks for them; a report at exit where the environment asks
    // for it; and the process of a workload, which is its own.
    const listeners = mechanism.filter((path) =>
      /process\s*\.\s*(on|once|addListener|prependListener)\s*\(/.test(readFileSync(root + path, 'utf8')),
    );
    expect(listeners).toEqual(['lib/helper-report.ts', 'lib/supervise-signals.ts', 'lib/workload-runner.ts']);
  });

  it('boundary: the library does not poll', () => {
    expect(
      hits(
        lib.filter((path) => !path.startsWith('lib/cli/')),
        /\bsetInterval\s*\(|Atomics\.wait\s*\(/,
      ),
    ).toEqual([]);
  });

  it('boundary: a source file is about 250 lines, at most 300', () => {
    const all = [...native, ...lib, ...files('test', /\.(ts|mjs|c|h)$/), ...files('bench', /\.(mjs|c)$/)];
    const long = all
      .map((path) => ({ path, lines: readFileSync(root + path, 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 300);
    expect(long).toEqual([]);
  });
});

describe('boundaries of the tests', () => {
  /** Timeouts that fail a test or end a subject, never ones that give something time to happen. */
  const allowed: Record<string, number> = {
    'test/support/oracle.mjs': 1, // waitUntil: looks again
    'test/support/run-node.ts': 1, // kills a subject that hangs
    'test/support/pty.ts': 1, // fails a test
    'test/support/native/treeactor_many.h': 1, // the pace at which an actor forks
    'test/support/sigkill-rounds.mjs': 1, // the random moment of the SIGKILL
    'test/support/drop-in/settle.mjs': 2, // the loop must not turn until all has happened
    'test/tree-teardown.test.ts': 1, // how long a program stays busy being written
    'test/tree-fork-bomb.test.ts': 1, // nobody may count in that time
    'test/reentrancy.test.ts': 2, // stimuli at arbitrary moments
    'test/leaks.test.ts': 1, // an idle time is what is tested
    'test/pipe-held-open.test.ts': 1, // a control: nothing happens in that time
  };
  const SLEEP =
    /\bsetTimeout\s*\(|\bsetTimeout\b.*\bfrom\b|timers\/promises|\busleep\s*\(|\bnanosleep\s*\(|\bsleep\s*\(\s*\d|\bAtomics\.wait\s*\(/;

  it('boundary: no test sleeps to synchronise', () => {
    const all = files('test', /\.(ts|mts|mjs|c|h)$/).filter((path) => path !== 'test/boundaries.test.ts');
    // Subjects are template strings of their tests: here strings count as code.
    const found: Record<string, number> = {};
    for (const path of all) {
      const text = readFileSync(root + path, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      const lines = text.split('\n').filter((line) => SLEEP.test(line)).length;
      if (lines > 0) found[path] = lines;
    }
    expect(found).toEqual(allowed);
  });
});
