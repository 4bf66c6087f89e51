import { constants } from 'node:os';
import { ProcessGroupError } from './errors.js';

const names = new Map<number, NodeJS.Signals>();
for (const [name, number] of Object.entries(constants.signals)) {
  // Aliases (SIGIOT, SIGPOLL) come later in the table than the name that people use.
  if (!names.has(number)) names.set(number, name as NodeJS.Signals);
}

/** The number of a signal name. Throws ERR_UNKNOWN_SIGNAL (a name) or ERR_INVALID_ARG_TYPE (anything else). signal(7). */
export function signalNumber(name: unknown, argument = 'signal'): number {
  if (typeof name !== 'string') {
    throw new ProcessGroupError(`The "${argument}" argument must be a signal name such as 'SIGTERM'`, {
      code: 'ERR_INVALID_ARG_TYPE',
      stage: 'validate',
    });
  }
  const number = (constants.signals as Record<string, number>)[name];
  if (number === undefined) {
    throw new ProcessGroupError(`Unknown signal: ${name}`, { code: 'ERR_UNKNOWN_SIGNAL', stage: 'validate' });
  }
  return number;
}

/** The name of a signal number; real-time signals read SIGRT<n>. */
export function signalName(number: number): NodeJS.Signals {
  return names.get(number) ?? (`SIGRT${number}` as NodeJS.Signals);
}
