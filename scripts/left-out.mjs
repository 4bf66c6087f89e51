// Test files that a special run of the suite leaves out, each with its reason. A reason is printed with the run.
const noAddon = {
  boundaries: 'reads sources and object files',
  support: "is about the tests' own tools",
};
const guardianAlone = {
  'cli-run': 'runs the guardian without the addon',
  'guardian-cli-*': 'runs the guardian without the addon',
  'terminal-job-control': 'runs the guardian without the addon',
};

/** By kind of run. The guardian is instrumented under asan only, and no fallback's switch reaches it. */
export const leftOut = {
  asan: noAddon,
  tsan: { ...noAddon, ...guardianAlone, demo: 'starts shells, and dash crashes under the preloaded runtime' },
  arm64: {
    ...noAddon,
    'docs*': 'is about words',
    workflows: 'is about words',
    'child-process-differential': 'takes hours on an emulated processor',
  },
  musl: { ...noAddon, 'docs*': 'is about words', workflows: 'is about words' },
  fallbacks: { ...noAddon, ...guardianAlone, 'fallback-probe': 'chooses its own fallbacks' },
};

/** The value of PROCGROUP_TEST_EXCLUDE for that kind of run; prints why. */
export function excluding(kind) {
  const entries = Object.entries(leftOut[kind]);
  for (const [name, why] of entries) console.log(`left out: test/${name}.test.ts ${why}`);
  return entries.map(([name]) => `test/${name}.test.ts`).join(':');
}
