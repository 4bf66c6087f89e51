/**
 * The one error family. `code` is Node's where the kernel refused ('ENOENT', 'EPERM', with negative `errno`), or one of the
 * ERR_ codes listed in docs/errors.md where the library refused.
 */
export class ProcessGroupError extends Error {
  /** Why, for programs: docs/errors.md. */
  readonly code: string;
  /** Negative, as in Node's system errors. */
  declare readonly errno?: number;
  /** The system call that the kernel refused. */
  declare readonly syscall?: string;
  /** The step that failed: 'validate', 'lookup', 'stdio', 'clone', 'setsid', 'setpgid', 'chdir', 'exec' ... */
  declare readonly stage?: string;
  /** The file or directory that it is about. */
  declare readonly path?: string;

  constructor(message: string, fields: ErrorFields, options?: ErrorOptions) {
    super(message, options);
    this.code = fields.code;
    if (fields.errno !== undefined) this.errno = fields.errno;
    if (fields.syscall !== undefined) this.syscall = fields.syscall;
    if (fields.stage !== undefined) this.stage = fields.stage;
    if (fields.path !== undefined) this.path = fields.path;
  }

  static {
    ProcessGroupError.prototype.name = 'ProcessGroupError';
  }
}

/** A spawn that failed. Nothing is left of it: no process, zombie, descriptor or file. */
export class SpawnError extends ProcessGroupError {
  static {
    SpawnError.prototype.name = 'SpawnError';
  }
}

/** What a ProcessGroupError is made of. */
export interface ErrorFields {
  code: string;
  errno?: number;
  syscall?: string;
  stage?: string;
  path?: string;
}

/** Node's own shape: name AbortError, code ABORT_ERR, cause signal.reason. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR';

  constructor(cause?: unknown) {
    super('The operation was aborted', cause === undefined ? undefined : { cause });
  }

  static {
    AbortError.prototype.name = 'AbortError';
  }
}
