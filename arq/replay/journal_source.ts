/** Journals in files and on standard input. */
import { endedBy } from "../../shared/listeners/answer_body.ts";
import { openInput } from "../terminal/input.ts";
import { type Io, resolvePath } from "../terminal/io.ts";
import { type JournalChunk, journalChunks } from "./journal_chunks.ts";

/** The lines of a file, or of standard input for `-`. Throws a `CommandError` when there is no such file. */
export async function fileChunks(io: Io, file: string): Promise<AsyncIterable<JournalChunk>> {
  const source = file === "-" ? "stdin" : resolvePath(io.cwd, file);
  return journalChunks(endedBy(await openInput(io, file), io.signal), source);
}
