/** Where a journal is read from: a file, standard input, or a bus. It reads no record. */
import { endedBy } from "../../shared/listeners/answer_body.ts";
import { CommandError } from "../terminal/exit.ts";
import { type Io, resolvePath } from "../terminal/io.ts";
import { type JournalChunk, journalChunks } from "./journal_chunks.ts";

/** The lines of a file, or of standard input for `-`. Throws a `CommandError` when there is no such file. */
export async function fileChunks(io: Io, file: string): Promise<AsyncIterable<JournalChunk>> {
  if (file === "-") return journalChunks(endedBy(io.stdin(), io.signal), "stdin");
  const path = resolvePath(io.cwd, file);
  // Opening a folder succeeds, and only reading it fails.
  if ((await io.files.state(path))?.is_directory === true) {
    throw new CommandError(`cannot read ${path}: it is a folder`);
  }
  try {
    return journalChunks(endedBy(await io.files.open(path), io.signal), path);
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
}
