// A vitest reporter, used where PROCGROUP_RESULTS names a file: appends one JSON line with the counts of the run, and prints
// why tests were skipped (the note of `context.skip(note)`; a test skipped otherwise says why in its title).
import { appendFileSync } from 'node:fs';

export default class ResultsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const skipped = [];
    for (const module of modules) {
      const failedBefore = counts.failed;
      for (const test of module.children.allTests()) {
        const result = test.result();
        // Pending: the run broke off before it.
        counts[result.state === 'pending' ? 'failed' : result.state] += 1;
        if (result.state === 'skipped') {
          const note = result.note ? ` [${result.note}]` : '';
          skipped.push(`${module.relativeModuleId}: ${test.fullName}${note}`);
        }
      }
      // A file that could not be loaded or whose hook threw fails without a failed test.
      if (module.state() === 'failed' && counts.failed === failedBefore) counts.failed += 1;
    }
    counts.failed += unhandledErrors.length;
    const label = process.env.PROCGROUP_RESULTS_LABEL ?? 'suite';
    appendFileSync(process.env.PROCGROUP_RESULTS, `${JSON.stringify({ label, ...counts })}\n`);
    for (const line of skipped) console.log(`skipped: ${line}`);
    console.log(`${label}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
