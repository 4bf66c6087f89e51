import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** Imports JSON in the way of bundlers, and names source maps that it does not have. */
const bundled = /@actions\/workflow-parser/;

// Node reads the whole file at every start, which can cost a third of it; no test leaves this machine.
delete process.env.NODE_EXTRA_CA_CERTS;

export default defineConfig({
  plugins: [
    {
      name: 'without-source-maps',
      enforce: 'pre',
      load(id) {
        if (!bundled.test(id) || !id.endsWith('.js')) return null;
        return { code: readFileSync(id, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, ''), map: null };
      },
    },
  ],
  test: {
    include: ['test/**/*.test.ts'],
    // Globs, separated by colons: what a kind of run leaves out, which then says so.
    exclude: process.env.PROCGROUP_TEST_EXCLUDE?.split(':') ?? [],
    globalSetup: ['test/support/global-setup.ts'],
    // Tests look at processes, descriptors and threads of their own process, so files neither share one nor run at once.
    pool: 'forks',
    fileParallelism: false,
    server: { deps: { inline: [bundled] } },
    testTimeout: 180_000,
    hookTimeout: 120_000,
    reporters: process.env.PROCGROUP_RESULTS ? ['default', './scripts/results-reporter.mjs'] : ['default'],
  },
});
