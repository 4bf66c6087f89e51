import { writeSync } from 'node:fs';

/**
 * One line on stderr. It never throws, and it does not touch process.stderr: that would make a shared pipe non-blocking
 * for every process that has it. A full or broken stderr changes no exit status.
 */
export function warn(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody is left to tell.
  }
}

/**
 * Lines on stdout, for the commands that start nothing. A reader that has gone (`| head`) is no failure. Rejects where
 * stdout is full.
 */
export function printLines(lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (error: NodeJS.ErrnoException | null | undefined): void => {
      if (error === null || error === undefined || error.code === 'EPIPE') resolve();
      else reject(error);
    };
    process.stdout.once('error', settle);
    process.stdout.write(`${lines.join('\n')}\n`, settle);
  });
}
