import type {
  ChildProcess,
  ChildProcessByStdio,
  ChildProcessWithoutNullStreams,
  ExecException,
  ExecFileException,
  ExecFileOptions,
  ExecOptions,
  ForkOptions,
  PromiseWithChild,
  SpawnOptions,
  SpawnOptionsWithoutStdio,
  SpawnOptionsWithStdioTuple,
  StdioNull,
  StdioPipe,
} from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { ContainmentOptions as Ours, StoppableChild } from './types.js';

type Entry = StdioNull | StdioPipe;
type Piped<E extends Entry, S> = E extends StdioPipe ? S : null;
type Three<I extends Entry, O extends Entry, E extends Entry> = StoppableChild<
  ChildProcessByStdio<Piped<I, Writable>, Piped<O, Readable>, Piped<E, Readable>>
>;

/** child_process.spawn, with options of ours. */
export interface Spawn {
  (command: string, options?: SpawnOptionsWithoutStdio & Ours): StoppableChild<ChildProcessWithoutNullStreams>;
  (
    command: string,
    args?: readonly string[],
    options?: SpawnOptionsWithoutStdio & Ours,
  ): StoppableChild<ChildProcessWithoutNullStreams>;
  <I extends Entry, O extends Entry, E extends Entry>(
    command: string,
    options: SpawnOptionsWithStdioTuple<I, O, E> & Ours,
  ): Three<I, O, E>;
  <I extends Entry, O extends Entry, E extends Entry>(
    command: string,
    args: readonly string[],
    options: SpawnOptionsWithStdioTuple<I, O, E> & Ours,
  ): Three<I, O, E>;
  (command: string, options: SpawnOptions & Ours): StoppableChild;
  (command: string, args: readonly string[] | undefined, options: SpawnOptions & Ours): StoppableChild;
}

type ToBuffer = { encoding: 'buffer' | null };
type ToString = { encoding?: BufferEncoding };
type Callback<E, T> = (error: E | null, stdout: T, stderr: T) => void;
type Output<T> = PromiseWithChild<{ stdout: T; stderr: T }>;
type Either = string | Buffer;

/** child_process.exec, with options of ours. */
export interface Exec {
  (command: string, callback?: Callback<ExecException, string>): StoppableChild;
  (command: string, options: ToBuffer & ExecOptions & Ours, callback?: Callback<ExecException, Buffer>): StoppableChild;
  (
    command: string,
    options: (ToString & ExecOptions & Ours) | null | undefined,
    callback?: Callback<ExecException, string>,
  ): StoppableChild;
  (
    command: string,
    options: { encoding?: string | null } & ExecOptions & Ours,
    callback?: Callback<ExecException, Either>,
  ): StoppableChild;
  /** What util.promisify() makes of it. */
  __promisify__: {
    (command: string): Output<string>;
    (command: string, options: ToBuffer & ExecOptions & Ours): Output<Buffer>;
    (command: string, options?: (ToString & ExecOptions & Ours) | null): Output<string>;
    (command: string, options: { encoding?: string | null } & ExecOptions & Ours): Output<Either>;
  };
}

/** child_process.execFile, with options of ours. */
export interface ExecFile {
  (file: string, args?: readonly string[] | null, callback?: Callback<ExecFileException, string>): StoppableChild;
  (file: string, callback: Callback<ExecFileException, string>): StoppableChild;
  (
    file: string,
    options: ToBuffer & ExecFileOptions & Ours,
    callback?: Callback<ExecFileException, Buffer>,
  ): StoppableChild;
  (
    file: string,
    args: readonly string[] | null | undefined,
    options: ToBuffer & ExecFileOptions & Ours,
    callback?: Callback<ExecFileException, Buffer>,
  ): StoppableChild;
  (
    file: string,
    options: (ToString & ExecFileOptions & Ours) | null | undefined,
    callback?: Callback<ExecFileException, string>,
  ): StoppableChild;
  (
    file: string,
    args: readonly string[] | null | undefined,
    options: (ToString & ExecFileOptions & Ours) | null | undefined,
    callback?: Callback<ExecFileException, string>,
  ): StoppableChild;
  (
    file: string,
    args: readonly string[] | null | undefined,
    options: { encoding?: string | null } & ExecFileOptions & Ours,
    callback?: Callback<ExecFileException, Either>,
  ): StoppableChild;
  /** What util.promisify() makes of it. */
  __promisify__: {
    (file: string, args?: readonly string[] | null): Output<string>;
    (file: string, options: ToBuffer & ExecFileOptions & Ours): Output<Buffer>;
    (
      file: string,
      args: readonly string[] | null | undefined,
      options: ToBuffer & ExecFileOptions & Ours,
    ): Output<Buffer>;
    (file: string, options: (ToString & ExecFileOptions & Ours) | null | undefined): Output<string>;
    (
      file: string,
      args: readonly string[] | null | undefined,
      options: (ToString & ExecFileOptions & Ours) | null | undefined,
    ): Output<string>;
    (
      file: string,
      args: readonly string[] | null | undefined,
      options: { encoding?: string | null } & ExecFileOptions & Ours,
    ): Output<Either>;
  };
}

/** child_process.fork, with options of ours. */
export interface Fork {
  (modulePath: string | URL, options?: ForkOptions & Ours): StoppableChild<ChildProcess>;
  (modulePath: string | URL, args?: readonly string[], options?: ForkOptions & Ours): StoppableChild<ChildProcess>;
}
