/**
 * The log file of a bus in the background. The bus writes it, its size is bounded, and `arq dev logs` follows
 * it.
 */

/** Size above which a new file begins; the file before is kept as `….1`. */
const LOG_BYTES_MAX = 16 * 1_048_576;
const CHUNK_BYTES = 65_536;

/** The path of the log file before the present one. */
export function olderLog(path: string): string {
  return `${path}.1`;
}

/** Begins the log file anew. The returned function writes one line and never throws. */
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
  const [now, then] = await Promise.all([Deno.stat(path).catch(() => undefined), file.stat()]);
  return now !== undefined && now.ino !== then.ino;
}

/**
 * Yields the content of the log file, then what is added to it and to the files after it. After each end it
 * calls `pause`, and stops when that says that nothing more will come. Rejects with NotFound when there is no
 * such file.
 */
export async function* readLog(
  path: string,
  pause: () => Promise<boolean>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let file = await Deno.open(path);
  try {
    // It asks before it reads to the end, so that nothing written in between is missed.
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
