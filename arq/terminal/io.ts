/**
 * The outside world for a command: streams, files, clock, stop signal. `main.ts` creates the real one. Commands use
 * nothing else of the world, apart from the SDK's sockets.
 */
import { concat } from "../../shared/containers/concat.ts";
import { type Sink, writeAll } from "../../shared/logs/line_queue.ts";
import { within } from "../../shared/within.ts";
import { pause } from "../../shared/within.ts";

/** Standard output or error. */
export interface Output {
  readonly is_tty: boolean;
  /** Whether colors are wanted: on a terminal, unless NO_COLOR is set. */
  readonly has_color: boolean;
  /** Takes bytes; waits only while too much is unwritten. Throws when the reader is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything is written. */
  flush(): Promise<void>;
}

/** The facts about a file, without its content. */
export interface FileState {
  readonly is_directory: boolean;
  /** False for a pipe or a device too: reading one may block forever. */
  readonly is_file: boolean;
  /** Permission bits; undefined where the system has none. */
  readonly mode: number | undefined;
  readonly size_bytes: number;
}

/** The size of a terminal in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** A new file that is being written. */
export interface FileWriter {
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when the whole file is on the disk. */
  finish(): Promise<void>;
  /** Closes the file in its present state; harmless after `finish`. */
  abandon(): void;
}

/** Access to files by absolute path. */
export interface Files {
  read(path: string): Promise<Uint8Array>;
  open(path: string): Promise<ReadableStream<Uint8Array>>;
  /** Writes a new file with this mode. Others see no file or the whole one. Rejects with AlreadyExists. */
  create(path: string, data: string | Uint8Array, mode: number): Promise<void>;
  /** Writes or replaces a file; without a mode it keeps the old one's. Others see the old file or the whole new one. */
  write(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  /** For `newOutput`: begins a new file with this mode. Rejects with AlreadyExists. */
  writer(path: string, mode: number): Promise<FileWriter>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** The path without links; undefined when there is no such file. */
  realPath(path: string): Promise<string | undefined>;
  /** The facts about a file; undefined when there is none. */
  state(path: string): Promise<FileState | undefined>;
  makeDirectory(path: string): Promise<void>;
  /** The names in a folder; empty when there is no folder. */
  list(path: string): Promise<string[]>;
}

/** Everything that one run of a command gets from outside. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  stdin(): ReadableStream<Uint8Array>;
  /** True when stdin is a terminal, so that reading it waits for a person who types. */
  readonly is_stdin_tty: boolean;
  readonly files: Files;
  /** Folder in which relative paths begin. */
  readonly cwd: string;
  /** Folders named `.arqon` in which development buses announce themselves, nearest first. */
  readonly state_dirs: readonly string[];
  /** Folder of the contexts; undefined when no variable says where a person's files are. */
  readonly config_dir: string | undefined;
  /** How the user starts this program, for suggested commands: `arq`, `npx arq`. */
  readonly arq: string;
  /** Aborted by Ctrl-C, by SIGTERM or when the reader is gone; the reason says which. */
  readonly signal: AbortSignal;
  /** Calls back for the next Ctrl-C instead of ending the command, until the result is called. */
  readonly takeInterrupt?: (onInterrupt: () => void) => () => void;
  /** The present size of the terminal; undefined when there is none. */
  readonly size: () => ScreenSize | undefined;
  /** The time in Unix ms. */
  readonly now: () => number;
  /** The monotonic clock in ms with fractions, for durations. */
  readonly monotonic_ms: () => number;
}

/** How a command ends: successfully, with an exit code, or with a report for programs and people. */
export type Ended = void | number | Report;

/** The output: `json` as JSON with `--json`, else `text`, and then `note` on stderr. */
export interface Report {
  readonly json: unknown;
  readonly text: string;
  readonly note?: string;
  readonly code?: number;
}

/** Unwritten bytes above which `write` waits. */
const BACKLOG_BYTES = 65_536;

/**
 * An output that writes in the background, joins waiting bytes, and keeps a bounded backlog. `onError` is called at
 * once when a write fails; later writes throw the error.
 */
export function createOutput(
  sink: Sink,
  is_tty: boolean,
  onError: (error: unknown) => void,
  has_color = is_tty,
): Output {
  let backlog: Uint8Array[] = [];
  let backlog_bytes = 0;
  let writing: Promise<void> | undefined;
  let failed: { error: unknown } | undefined;

  const drain = async () => {
    try {
      while (backlog.length > 0) {
        const chunk = backlog.length === 1 ? backlog[0]! : concat(backlog);
        backlog = [];
        backlog_bytes = 0;
        await writeAll(sink, chunk);
      }
    } catch (error) {
      failed = { error };
      onError(error);
    }
    writing = undefined;
  };
  const flush = async () => {
    while (writing !== undefined) await writing;
    if (failed !== undefined) throw failed.error;
  };
  const write = async (bytes: Uint8Array) => {
    if (failed !== undefined) throw failed.error;
    // With no bytes, `drain` would end before its promise is stored, and `flush` would never resolve.
    if (bytes.length === 0) return;
    backlog.push(bytes);
    backlog_bytes += bytes.length;
    writing ??= drain();
    if (backlog_bytes > BACKLOG_BYTES) await flush();
  };
  return { is_tty, has_color, write, flush };
}

/**
 * An output that writes after what another one has accepted, for two that share a terminal: a summary appears below the
 * lines that it sums up. It waits at most `limit_ms`, since a terminal may stall.
 */
export function behind(output: Output, other: Output, limit_ms: number): Output {
  const write = async (bytes: Uint8Array) => {
    await flushWithin(other, limit_ms);
    await output.write(bytes);
  };
  return { ...output, write };
}

/** Waits until an output is written, at most `limit_ms`. */
export async function flushWithin(output: Output, limit_ms: number): Promise<void> {
  // The writer is notified of a failure.
  await within(limit_ms, output.flush().catch(() => {}), () => {});
}

/** Writes text to an output. */
export function print(output: Output, text: string): Promise<void> {
  return output.write(new TextEncoder().encode(text));
}

/** Tells a person something on stderr, in a line. */
export function note(io: Pick<Io, "stderr">, text: string): Promise<void> {
  return print(io.stderr, `arq: ${text}\n`);
}

/** Writes a remark to an output, which may be closed: then nobody reads it. Never rejects. */
export async function remark(output: Output, text: string): Promise<void> {
  await print(output, text).catch(() => {}); // As said above.
}

/** The absolute path of a path; a relative one begins at `cwd`. */
export function resolvePath(cwd: string, path: string): string {
  const absolute = path.startsWith("/") || /^[A-Za-z]:[\\/]/.test(path);
  return absolute ? path : `${cwd.replace(/[\\/]+$/, "")}/${path}`;
}

/** Prints a command's result, and returns its exit code. */
export async function finish(
  io: Pick<Io, "stdout" | "stderr">,
  ended: Ended,
  is_json: boolean,
): Promise<number> {
  if (typeof ended !== "object") return ended ?? 0;
  const { json, text, note = "", code = 0 } = ended;
  await print(io.stdout, is_json ? `${JSON.stringify(json)}\n` : text);
  if (!is_json) await print(io.stderr, note);
  return code;
}

/** The result of `work`. Rejects with the signal's reason as soon as the signal aborts. */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([stopped, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Waits for `delay_ms`. Rejects with the signal's reason as soon as the signal aborts. */
export async function sleep(delay_ms: number, signal: AbortSignal): Promise<void> {
  await pause(delay_ms, signal);
  signal.throwIfAborted();
}
