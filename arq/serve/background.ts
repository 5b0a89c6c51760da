/**
 * The files that `arq dev up` leaves in the state folder: a record of what runs, a lock that the bus holds while it
 * lives, and its log. The system releases a lock when its process ends. So while the lock is held, the recorded process
 * is ours, and files of a killed bus mislead nobody.
 */
import { join } from "node:path";
import { replaceWhole } from "../terminal/whole_file.ts";
import type { DevBusReady } from "./dev_bus.ts";
import { textIfThere } from "../terminal/disk_files.ts";

/** The record of what `arq dev up` has started. */
export type DevRecord =
  | { readonly kind: "embedded"; readonly pid: number; readonly started_ms: number }
  /** `file`: path of the compose file. */
  | { readonly kind: "compose"; readonly file: string; readonly started_ms: number };

/** The files and folders of a development bus. Paths are absolute, below a state folder. */
export type DevFiles = ReturnType<typeof devFiles>;

/** The files of the development bus that belongs to a working folder. */
export function devFiles(cwd: string) {
  const state_dir = join(cwd, ".arqon");
  const folder = join(state_dir, "dev");
  return {
    state_dir,
    folder,
    lock: join(folder, "up.lock"),
    record: join(folder, "up.json"),
    log: join(folder, "up.log"),
    /** Folder of room state and durable rooms. */
    data_dir: join(folder, "data"),
    /** Folder with the public keys for a compose stack. */
    issuer_dir: join(folder, "issuer"),
    /** Folder of the compose file, used without a checkout. */
    stack_dir: join(folder, "stack"),
  };
}

/** The record in the text of a file; undefined when it has none. */
export function parseRecord(text: string): DevRecord | undefined {
  try {
    const { kind, pid, file, started_ms } = JSON.parse(text);
    if (!Number.isSafeInteger(started_ms)) return undefined;
    if (kind === "embedded" && Number.isSafeInteger(pid) && pid > 1) {
      return { kind, pid, started_ms };
    }
    return kind === "compose" && typeof file === "string" ? { kind, file, started_ms } : undefined;
  } catch {
    return undefined;
  }
}

/** Reads the record; undefined when there is none that can be read. */
export async function readRecord({ record }: DevFiles): Promise<DevRecord | undefined> {
  const text = await textIfThere(record);
  return text === undefined ? undefined : parseRecord(text);
}

/** Writes the record. Other processes see the old record or the whole new one. */
export async function writeRecord({ record }: DevFiles, value: DevRecord): Promise<void> {
  await replaceWhole(record, JSON.stringify(value));
}

/** Takes the lock, which lasts until the file is closed; undefined when another process has it. */
export async function takeLock({ lock }: DevFiles): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(lock, { create: true, write: true });
  if (await file.tryLock(true)) return file;
  file.close();
  return undefined;
}

/** Whether a bus that `arq dev up` started is alive. */
export async function isAlive(files: DevFiles): Promise<boolean> {
  try {
    const lock = await takeLock(files);
    lock?.close();
    return lock === undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The announcement of the bus with this pid; undefined before it is ready and while it drains. */
export async function announcementOf(
  { folder }: DevFiles,
  pid: number,
): Promise<DevBusReady | undefined> {
  const text = await textIfThere(join(folder, `${pid}.json`));
  return text === undefined ? undefined : JSON.parse(text);
}

/** Size above which a new file begins; the previous file is kept as `….1`. */
const LOG_BYTES_MAX = 16 * 1_048_576;
const CHUNK_BYTES = 65_536;

/** The path of the previous log file. */
export function olderLog(path: string): string {
  return `${path}.1`;
}

/** Starts a new log file. The returned function writes one line and never throws. */
export function openLog(path: string, max_bytes = LOG_BYTES_MAX): (line: string) => void {
  const encoder = new TextEncoder();
  const open = () =>
    Deno.openSync(path, { create: true, write: true, truncate: true, mode: 0o600 });
  let file = open();
  let size_bytes = 0;
  return (line) => {
    try {
      if (size_bytes > max_bytes) {
        Deno.renameSync(path, olderLog(path));
        file.close();
        file = open();
        size_bytes = 0;
      }
      const bytes = encoder.encode(line);
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      size_bytes += bytes.length;
    } catch {
      // A full disk must not stop a bus that needs no disk.
    }
  };
}

/** Whether the path now belongs to another file than the open one. */
async function isOther(path: string, file: Deno.FsFile): Promise<boolean> {
  // A file that was removed is no other file yet.
  const [now, then] = await Promise.all([Deno.stat(path).catch(() => undefined), file.stat()]);
  return now !== undefined && now.ino !== then.ino;
}

/**
 * Yields the content of the log file, then what is appended to it and to the files after it. After each end it calls
 * `pause`, and stops when that reports that nothing more will come. Rejects with NotFound when there is no such file.
 */
export async function* readLog(
  path: string,
  pause: () => Promise<boolean>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let file = await Deno.open(path);
  try {
    // It asks before reading to the end, so that nothing written in between is missed.
    for (let is_over = false, is_next = false;;) {
      const buffer = new Uint8Array(CHUNK_BYTES);
      const count = await file.read(buffer);
      if (count !== null) {
        yield buffer.subarray(0, count);
      } else if (is_next) {
        file.close();
        file = await Deno.open(path);
        is_next = false;
      } else {
        is_next = await isOther(path, file);
        if (is_next) continue;
        if (is_over) return;
        is_over = !await pause();
      }
    }
  } finally {
    file.close();
  }
}
