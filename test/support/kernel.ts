import { release } from 'node:os';

/** '' from Linux 6.9 on, whose pidfds signal whole groups; before it, why a test of what only they can do is skipped. */
export function whyNoGroupPidfd(): string {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 9)
    ? ''
    : `PIDFD_SIGNAL_PROCESS_GROUP needs Linux 6.9, this is ${release()}`;
}
