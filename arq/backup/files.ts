/**
 * Files that a backup contains besides the data; a restore writes them only into a folder that the caller names. Also
 * the texts about a backup.
 */
import { type BackupPart, type Manifest, partBytes } from "../../shared/backup/manifest.ts";
import { plural } from "../../shared/plural.ts";
import { failed, printable } from "../terminal/exit.ts";
import type { BackupReader, GivenPart, ReadFile } from "../../shared/backup/archive.ts";
import { namedFiles } from "../../shared/config/named_files.ts";
import { createBelow, readInput } from "../terminal/input.ts";
import { type Io, resolvePath } from "../terminal/io.ts";
import { inColumns, linesText } from "../terminal/columns.ts";
import type { Place } from "./backup_place.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** A size in bytes as text: `512 B`, `1.4 MiB`. */
export function sizeText(bytes: number): string {
  const at = bytes === 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${at === 0 ? bytes : (bytes / 1_024 ** at).toFixed(1)} ${UNITS[at]}`;
}

function detailOf(part: BackupPart): string {
  if (part.kind === "stream") {
    const { messages, first_sequence, last_sequence } = part;
    return `${plural(messages, "message")}, ${first_sequence} to ${last_sequence}`;
  }
  if (part.kind === "database") return plural(Object.keys(part.sequences).length, "sequence");
  return `mode ${part.mode.toString(8)}`;
}

/** The table of what is in a backup. */
export function manifestText(manifest: Manifest): string {
  const { engine, version, begun_ms, ended_ms, parts, node_id } = manifest;
  const bytes = parts.reduce((total, part) => total + partBytes(part), 0);
  const rows = parts.map((part) => [
    printable(part.name),
    sizeText(partBytes(part)).padStart(10),
    detailOf(part),
  ]);
  const seconds = ((ended_ms - begun_ms) / 1_000).toFixed(1);
  const who = node_id === undefined ? "" : ` by ${node_id}`;
  return `engine ${engine}, ArqonBus ${version}${who}, begun ${
    new Date(begun_ms).toISOString()
  }, ` +
    `${seconds} s, ${plural(parts.length, "part")}, ${sizeText(bytes)}\n` +
    linesText(inColumns(rows), "  ");
}

/** Whether a backup holds files such as keys, which must be kept secret. */
export const hasFiles = ({ parts }: Pick<Manifest, "parts">): boolean =>
  parts.some(({ kind }) => kind === "file");

/** Folder of these files in the archive; each file is in a folder of its own below it. */
const FILES_FOLDER = "files";
const FILE_MODE = 0o600;

/** Absolute paths of the files that go into a backup, each path once. */
export function filesToSave(io: Io, place: Place | undefined, more: readonly string[]): string[] {
  const own = place === undefined
    ? []
    : [place.config_file, ...namedFiles(place.config).map(({ path }) => path)];
  return [...new Set([...own, ...more].map((path) => resolvePath(io.cwd, path)))];
}

/** The files as parts of a backup. All files are read before the first part is yielded. */
export async function fileParts(io: Io, paths: readonly string[]): Promise<GivenPart[]> {
  return await Promise.all(paths.map(async (path, at): Promise<GivenPart> => {
    const bytes = await readInput(io, path);
    const mode = (await io.files.state(path))?.mode ?? FILE_MODE;
    const name = path.split(/[\\/]/).at(-1) || "file";
    return {
      facts: { kind: "file", name: path, taken_ms: io.now(), mode },
      files: [{
        path: `${FILES_FOLDER}/${String(at).padStart(3, "0")}/${name.slice(0, 80)}`,
        size_bytes: bytes.length,
        bytes: [bytes],
      }],
    };
  }));
}

/** The path in `folder` for a file that was at `path` on its machine. */
function placeIn(folder: string, path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => !["", ".", ".."].includes(part));
  return [folder, ...parts.map((part) => part.replace(/:$/, ""))].join("/");
}

/** Writes the files of a backup below a folder, at their original paths. It replaces no file. */
export class FileRestorer implements BackupReader {
  readonly written: string[] = [];
  /** A backup may be read more than once; files already written are skipped. */
  readonly #done = new Set<string>();
  readonly #io: Io;
  readonly #folder: string;
  /** The parts by their path in the archive. */
  readonly #parts: ReadonlyMap<string, BackupPart & { kind: "file" }>;

  constructor(io: Io, folder: string, parts: readonly BackupPart[]) {
    this.#io = io;
    this.#folder = resolvePath(io.cwd, folder);
    this.#parts = new Map(
      parts.flatMap((part) =>
        part.kind === "file" ? part.files.map(({ path }) => [path, part]) : []
      ),
    );
  }

  /** Rejects with a CommandError if it would have to replace a file; before anything is restored. */
  async requireNew(): Promise<void> {
    for (const { name } of this.#parts.values()) {
      const to = placeIn(this.#folder, name);
      if (await this.#io.files.state(to) === undefined) continue;
      throw failed(`${to} is there already: nothing was restored`, "--files-to names a new folder");
    }
  }

  async onFile({ path, bytes }: ReadFile): Promise<void> {
    const part = this.#parts.get(path);
    if (part === undefined || this.#done.has(path)) return;
    const to = placeIn(this.#folder, part.name);
    const whole = await new Response(ReadableStream.from(bytes)).bytes();
    await createBelow(this.#io, to, whole, part.mode);
    this.#done.add(path);
    this.written.push(to);
  }
}
