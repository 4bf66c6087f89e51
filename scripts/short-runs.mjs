// What `--short` runs of the suite on a sanitizer or under a fallback: the files that can find there what they cannot find in
// the plain run, so that .ci/run has the time for all of them. A new file belongs here where its kind says so.

/** The life of groups: spawn, exit, ladder, proof, and what may come in between. */
const engine = [
  'attach-teardown',
  'event-loop-lifetime',
  'exhaustion',
  'exit-detail',
  'hang-before-exec',
  'held-by-tracer',
  'kill-same-tick',
  'leader-exits-first',
  'leaks',
  'leaves-group',
  'pipe-held-open',
  'posix-primitives',
  'privileged-killer',
  'reentrancy',
  'stdio',
  'supervisor-orderly-end',
  'unreaped-zombies',
];
/** The same of trees, over the guardian's socket. */
const trees = [
  'guardian-killed',
  'guardian-protocol',
  'tree-bad-input',
  'tree-mixed-uids',
  'tree-release',
  'tree-teardown',
];
/** Several Environments at once. */
const workers = [
  'busy-workers',
  'coexistence',
  'tree-worker-terminate',
  'two-copies',
  'worker-only-addon',
  'worker-terminate',
];

/** A list without those that mostly wait, or use memory and threads as other files do. */
const without = (names, ...left) => names.filter((name) => !left.includes(name));

const lists = {
  // What rests on Node's own ways: streams, child_process, the loop, workers, serialisation, permissions, names of threads.
  matrix: [
    ...workers,
    'bad-input',
    'child-process-containment',
    'child-process-differential',
    'child-process-leaks',
    'child-process-lifetime',
    'child-process-preload',
    'diagnostics',
    'diagnostics-subscriber-throws',
    'drop-in-clients',
    'drop-in-programs',
    'event-loop-lifetime',
    'example-agent-shell',
    'import-costs-nothing',
    'leaks',
    'output',
    'reentrancy',
    'register-fails',
    'scope-body-throws',
    'scope-end',
    'shared-helper-report',
    'stdio',
    'supervise-signals',
    'supervisor-orderly-end',
    'tree-bad-input',
    'workload-errors',
    'workload-options',
    'workload-output',
    'workload-payload',
    'workload-threads',
  ],
  // Memory: whatever allocates, parses or frees, in the addon and in the guardian.
  asan: [
    ...without(engine, 'event-loop-lifetime', 'held-by-tracer'),
    ...without(trees, 'tree-mixed-uids'),
    ...without(workers, 'busy-workers', 'coexistence'),
    'bad-input',
    'fallback-by-refusal',
    'guardian-cli-entry',
    'guardian-cli-init',
    'guardian-cli-report',
    'guardian-cli-tree',
    'guardian-identity',
    'guardian-protected',
    'lookup',
    'setsid-fails',
    'spawn-options',
    'tree-disguise',
    'tree-escape',
    'tree-fork-bomb',
    'tree-size',
    'working-directory',
  ],
  // Threads: the loop, the spawners, the waiters and several Environments at work together.
  tsan: [
    ...without(engine, 'exit-detail', 'held-by-tracer', 'leader-exits-first', 'unreaped-zombies'),
    ...without(trees, 'tree-mixed-uids'),
    ...workers,
  ],
  // What a handle promises must hold without the newer system calls too.
  fallbacks: [
    ...engine,
    ...trees,
    'bad-input',
    'clean-child',
    'coexistence',
    'fork-chain',
    'hidepid',
    'killpg-refusals',
    'lookup',
    'mixed-uids',
    'output',
    'pid-reuse',
    'release',
    'setsid-fails',
    'spawn-options',
    'stopped-member',
    'supervisor-sigkilled',
    'tree-escape',
    'worker-terminate',
    'working-directory',
  ],
};

/** Takes `--short` out of the arguments; the files that are named there, or that stand for it. */
export function chooseFiles(kind, args) {
  const named = args.filter((argument) => argument.endsWith('.test.ts'));
  if (!args.includes('--short')) return named;
  return [...named, ...lists[kind].map((name) => `test/${name}.test.ts`)];
}
