// A vitest reporter, used where PROCGROUP_RESULTS names a file: appends one JSON line with the counts of the run and what of
// it failed, and prints why tests were skipped (the note of `context.skip(note)`; a test skipped otherwise says why in its
// title).
import { appendFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** Characters that are kept of one failure: its beginning says what was expected and what came. */
const KEPT = 900;

function failure(where, errors, milliseconds) {
  const text = (errors ?? []).map(({ message, diff, stack }) => `${message || stack || 'no message'}\n${diff ?? ''}`);
  const error = stripVTControlCharacters(text.join('\n')).trim().slice(0, KEPT);
  return { where, ms: milliseconds === undefined ? undefined : Math.round(milliseconds), error };
}

export default class ResultsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const skipped = [];
    const failures = [];
    for (const module of modules) {
      const failedBefore = counts.failed;
      for (const test of module.children.allTests()) {
        const result = test.result();
        // Pending: the run broke off before it.
        counts[result.state === 'pending' ? 'failed' : result.state] += 1;
        const where = `${module.relativeModuleId}: ${test.fullName}`;
        if (result.state === 'failed') failures.push(failure(where, result.errors, test.diagnostic()?.duration));
        if (result.state === 'pending') failures.push(failure(where, [{ message: 'the run broke off before it' }]));
        if (result.state === 'skipped') skipped.push(`${where}${result.note ? ` [${result.note}]` : ''}`);
      }
      // A file that could not be loaded or whose hook threw fails without a failed test.
      if (module.state() === 'failed' && counts.failed === failedBefore) {
        counts.failed += 1;
        failures.push(failure(module.relativeModuleId, module.errors()));
      }
    }
    counts.failed += unhandledErrors.length;
    for (const error of unhandledErrors) failures.push(failure('unhandled', [error]));
    const label = process.env.PROCGROUP_RESULTS_LABEL ?? 'suite';
    appendFileSync(process.env.PROCGROUP_RESULTS, `${JSON.stringify({ label, ...counts, failures })}\n`);
    for (const line of skipped) console.log(`skipped: ${line}`);
    console.log(`${label}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
