// Says again, at the end of a long run, what failed in it. Usage: node scripts/failures.mjs FILE
// FILE holds the lines that scripts/results-reporter.mjs and .ci/run have recorded.
import { readResults } from './support.mjs';

for (const { label, passed, failed, skipped, failures = [] } of readResults(process.argv[2])) {
  if (failed === 0) continue;
  console.log(`failed: ${label}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  for (const { where, ms, error } of failures) {
    console.log(`  ${where}${ms === undefined ? '' : ` (${ms} ms)`}\n    ${error.replaceAll('\n', '\n    ')}`);
  }
}
