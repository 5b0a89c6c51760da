/**
 * What a command gets from the outside: streams, files, clock, stop signal. `main.ts` makes the real
 * one; commands touch the world through nothing else (and the SDK's sockets).
 */

/** Standard output or error. */
export interface Output {
  readonly is_tty: boolean;
  /** Whether colors are wanted: on a terminal, unless NO_COLOR is set. */
  readonly has_color: boolean;
  /** Hands bytes over; waits only while much is unwritten. Throws when the reader is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything is written. */
  flush(): Promise<void>;
}

/** What a file is, without its content. */
export interface FileState {
  readonly is_directory: boolean;
  /** Permission bits; undefined where the system has none. */
  readonly mode: number | undefined;
  readonly size_bytes: number;
}

/** How large a terminal is, in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** A new file that is being written. */
export interface FileWriter {
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when all of it is on the disk. */
  finish(): Promise<void>;
  /** Closes it as it is; after `finish` harmless. */
  abandon(): void;
}

/** Files by absolute path. */
export interface Files {
  read(path: string): Promise<Uint8Array>;
  /** The file's bytes as they are read. */
  open(path: string): Promise<ReadableStream<Uint8Array>>;
  /** Writes a new file with this mode; rejects with AlreadyExists. */
  create(path: string, data: string | Uint8Array, mode: number): Promise<void>;
  /** Writes a file; one that is there is replaced. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** As `write`, with this mode: others see the old file or the whole new one, nothing between. */
  replace(path: string, text: string, mode: number): Promise<void>;
  /** Begins a new file with this mode; rejects with AlreadyExists. */
  writer(path: string, mode: number): Promise<FileWriter>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Undefined when there is no such file. */
  state(path: string): Promise<FileState | undefined>;
  makeDirectory(path: string): Promise<void>;
  /** Names in a folder; empty when there is none. */
  list(path: string): Promise<string[]>;
}

/** The world of one run. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  stdin(): ReadableStream<Uint8Array>;
  /** Whoever reads it waits for a person who types. */
  readonly is_stdin_tty: boolean;
  readonly files: Files;
  /** Where relative paths begin. */
  readonly cwd: string;
  /** Folders named `.arqon` in which dev buses announce themselves, nearest first. */
  readonly state_dirs: readonly string[];
  /** Folder of the contexts; undefined when nothing says where a person's files are. */
  readonly config_dir: string | undefined;
  /** How a person starts this program, for what is suggested: `arq`, `npx arq`. */
  readonly arq: string;
  /** Aborted by Ctrl-C, SIGTERM or a reader that is gone; the reason says which. */
  readonly signal: AbortSignal;
  /** Of the terminal, as it is now; undefined when there is none. */
  readonly size: () => ScreenSize | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** Monotonic ms with fractions, for durations. */
  readonly monotonic_ms: () => number;
}

/** Unwritten bytes above which `write` waits. */
const BACKLOG_BYTES = 65_536;

/**
 * Output that writes in the background, coalesces what piles up meanwhile, and holds a bounded
 * backlog. `onError` hears of a failed write at once; later writes throw it.
 */
export function createOutput(
  sink: { write(bytes: Uint8Array): Promise<number> },
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
        const chunk = concat(backlog, backlog_bytes);
        backlog = [];
        backlog_bytes = 0;
        for (let at = 0; at < chunk.length;) at += await sink.write(chunk.subarray(at));
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
    // With nothing to write, `drain` would end before its promise is kept, and `flush` never.
    if (bytes.length === 0) return;
    backlog.push(bytes);
    backlog_bytes += bytes.length;
    writing ??= drain();
    if (backlog_bytes > BACKLOG_BYTES) await flush();
  };
  return { is_tty, has_color, write, flush };
}

function concat(chunks: Uint8Array[], size_bytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0] as Uint8Array;
  const all = new Uint8Array(size_bytes);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Writes text. */
export function print(output: Output, text: string): Promise<void> {
  return output.write(new TextEncoder().encode(text));
}

/** An absolute path: relative ones begin at `cwd`. */
export function resolvePath(cwd: string, path: string): string {
  const absolute = path.startsWith("/") || /^[A-Za-z]:[\\/]/.test(path);
  return absolute ? path : `${cwd.replace(/[\\/]+$/, "")}/${path}`;
}
