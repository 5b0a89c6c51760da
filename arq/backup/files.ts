/**
 * Files that a backup holds beside the data: the configuration, keys and certificates that it names, and
 * files that the caller adds. A restore writes them only into a folder that the caller names.
 */
import type { BackupReader, GivenPart, ReadFile } from "../../shared/backup/archive.ts";
import type { BackupPart } from "../../shared/backup/manifest.ts";
import { namedFiles } from "../../shared/config/named_files.ts";
import { CommandError } from "../terminal/exit.ts";
import { readInput } from "../terminal/input.ts";
import { resolvePath } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";
import type { Place } from "./backup_place.ts";

/** Folder of these files in the archive; each file is in a folder of its own below it. */
const FILES_FOLDER = "files";
const FILE_MODE = 0o600;

/** Absolute paths of the files that go into a backup, each path once. */
export function filesToSave(
  io: Io,
  place: Place | undefined,
  more: readonly string[],
): string[] {
  const own = place === undefined
    ? []
    : [place.config_file, ...namedFiles(place.config).map(({ path }) => path)];
  return [...new Set([...own, ...more].map((path) => resolvePath(io.cwd, path)))];
}

/** The files as parts of a backup. All of them are read before the first part is given out. */
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

/** The place in `folder` for a file that was at `path` on its machine. */
function placeIn(folder: string, path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => !["", ".", ".."].includes(part));
  return [folder, ...parts.map((part) => part.replace(/:$/, ""))].join("/");
}

/** Writes the files of a backup below a folder, at the paths that they had. It replaces no file. */
export class FileRestorer implements BackupReader {
  readonly written: string[] = [];
  /** A backup may be read more than once: what is written is passed over. */
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

  async onFile({ path, bytes }: ReadFile): Promise<void> {
    const part = this.#parts.get(path);
    if (part === undefined || this.#done.has(path)) return;
    const to = placeIn(this.#folder, part.name);
    const whole = await new Response(ReadableStream.from(bytes)).bytes();
    const { files } = this.#io;
    await files.makeDirectory(to.slice(0, to.lastIndexOf("/")));
    try {
      await files.create(to, whole, part.mode);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CommandError(`cannot write ${to}: ${why}`);
    }
    this.#done.add(path);
    this.written.push(to);
  }
}
