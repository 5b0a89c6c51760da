/**
 * Compares the configured number of connections with the files that a process may open. A higher number can never be
 * reached, so it is refused. A default is never refused: with fewer files, the listener accepts fewer connections. The
 * limit is determined elsewhere, except for the trial here.
 */
import type { ConfigProblem } from "../config/problems.ts";
import { parseToml } from "../config/toml.ts";

/** Other open files of a process: listeners, databases, NATS, workers. */
export const OTHER_FILES = 256;
const PATH = ["limits", "connections_per_process"] as const;

/** The configured number of connections, and its position in the file. */
interface AskedFiles {
  readonly files: number;
  readonly source: string;
  readonly position: ConfigProblem["position"];
}

/** The number in `text`, a valid configuration; undefined if it sets none. */
export function askedFiles(text: string, connections: number): AskedFiles | undefined {
  const parsed = parseToml(text);
  const entry = parsed.ok ? parsed.document.entry([...PATH]) : undefined;
  if (entry === undefined) return undefined;
  return { files: connections + OTHER_FILES, source: entry.source, position: entry.value };
}

/** The problem if only `limit` files may be opened; undefined if there is none. */
export function fileProblem(
  { files, source, position }: AskedFiles,
  limit: number,
): ConfigProblem | undefined {
  if (files <= limit) return undefined;
  const text = `${source} needs ${files} open files, and a process here may open ${limit}; ` +
    `expected at most ${Math.max(0, limit - OTHER_FILES)}, or a higher ulimit -n`;
  return { position, key: PATH.join("."), text };
}

const OPEN_FILES = 32;
/** The most files that a trial opens: more would take seconds, and as much memory of the system. */
const TRIAL_MAX = 262_144;

/**
 * The approximate number of files that this process may open, by briefly opening up to `wanted` at once: a server's
 * permissions do not allow reading the limit. Call it before the process opens other files. Infinity if `wanted` are
 * possible.
 */
export function filesByTrial(wanted: number, open: () => { close(): void }): number {
  const held: { close(): void }[] = [];
  const enough = Math.min(wanted - OPEN_FILES, TRIAL_MAX);
  try {
    while (held.length < enough) held.push(open());
    return Infinity;
  } catch {
    return held.length + OPEN_FILES;
  } finally {
    for (const file of held) file.close();
  }
}

/**
 * Finds a file that can be opened: a world-readable one, or a source of this program; undefined if neither is readable.
 */
export function placeholder(): string | undefined {
  const own = import.meta.filename;
  // A compiled program reads its own sources from itself, not from files of the system.
  const paths = ["/dev/null", ...(own === undefined || Deno.build.standalone ? [] : [own])];
  return paths.find((path) => {
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return false;
    try {
      Deno.openSync(path).close();
      return true;
    } catch {
      return false;
    }
  });
}
