/**
 * Compares the number of connections that a configuration asks for by name with the files that a
 * process may open. More than that can never be there, so such a pair is refused. A default is
 * never refused: where fewer files are allowed, the listener takes fewer. How many may be opened is
 * asked elsewhere, except for the trial here.
 */
import type { ConfigProblem } from "../config/problems.ts";
import { parseToml } from "../config/toml.ts";

/** Files of a process beside its connections: listeners, databases, NATS, workers. */
export const OTHER_FILES = 256;
const PATH = ["limits", "connections_per_process"] as const;

/** The number of connections asked for, and its place in the file. */
export interface AskedFiles {
  readonly files: number;
  readonly source: string;
  readonly position: ConfigProblem["position"];
}

/** The number that `text`, a valid configuration, asks for; undefined when it names none. */
export function askedFiles(text: string, connections: number): AskedFiles | undefined {
  const parsed = parseToml(text);
  const entry = parsed.ok ? parsed.document.entry([...PATH]) : undefined;
  if (entry === undefined) return undefined;
  return { files: connections + OTHER_FILES, source: entry.source, position: entry.value };
}

/** The problem when only `limit` files may be opened; undefined when there is none. */
export function fileProblem(
  { files, source, position }: AskedFiles,
  limit: number,
): ConfigProblem | undefined {
  if (files <= limit) return undefined;
  const text = `${source} needs ${files} open files, and a process here may open ${limit}; ` +
    `expected at most ${Math.max(0, limit - OTHER_FILES)}, or a higher ulimit -n`;
  return { position, key: PATH.join("."), text };
}

/** How many of `OTHER_FILES` are open when a process begins to look. */
const OPEN_FILES = 32;
/** The most files that a trial opens: more would take seconds, and as much memory of the system. */
const TRIAL_MAX = 262_144;

/**
 * About how many files this process may open, found by opening as many as `wanted` at once for a
 * moment: no process can read its own limit with the permissions of a server. To be called before
 * the process opens anything else. Infinity when there are as many.
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
 * Finds a file that can be opened: one that everybody may read, or a source of this program; undefined
 * where neither may be read.
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
