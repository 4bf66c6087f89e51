import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Globs, separated by colons: what a kind of run leaves out, which then says so.
    exclude: process.env.PROCGROUP_TEST_EXCLUDE?.split(':') ?? [],
    globalSetup: ['test/support/global-setup.ts'],
    // Tests look at processes, descriptors and threads of their own process, so files neither share one nor run at once.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: process.env.PROCGROUP_RESULTS ? ['default', './scripts/results-reporter.mjs'] : ['default'],
  },
});
