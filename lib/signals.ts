import { os } from './builtins.js';
import { ProcessGroupError } from './errors.js';

let numbers: Record<string, number> | undefined;
const table = (): Record<string, number> => {
  numbers ??= os().constants.signals;
  return numbers;
};

let names: Map<number, NodeJS.Signals> | undefined;
function namesByNumber(): Map<number, NodeJS.Signals> {
  const made = new Map<number, NodeJS.Signals>();
  for (const [name, number] of Object.entries(table())) {
    // Aliases (SIGIOT, SIGPOLL) come later in the table than the name that people use.
    if (!made.has(number)) made.set(number, name as NodeJS.Signals);
  }
  return made;
}

/** The number of a signal name. Throws ERR_UNKNOWN_SIGNAL (a name) or ERR_INVALID_ARG_TYPE (anything else). signal(7). */
export function signalNumber(name: unknown, argument = 'signal'): number {
  if (typeof name !== 'string') {
    throw new ProcessGroupError(`The "${argument}" argument must be a signal name such as 'SIGTERM'`, {
      code: 'ERR_INVALID_ARG_TYPE',
      stage: 'validate',
    });
  }
  const number = table()[name];
  if (number === undefined) {
    throw new ProcessGroupError(`Unknown signal: ${name}`, { code: 'ERR_UNKNOWN_SIGNAL', stage: 'validate' });
  }
  return number;
}

/** The name of a signal number; real-time signals read SIGRT<n>. */
export function signalName(number: number): NodeJS.Signals {
  names ??= namesByNumber();
  return names.get(number) ?? (`SIGRT${number}` as NodeJS.Signals);
}
