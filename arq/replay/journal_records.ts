/** The records of a journal one after another, for commands that need no threads. */
import { isHole, type JournalRecord, parseLine } from "../../shared/journal/record.ts";
import type { JournalChunk } from "./journal_chunks.ts";

/** What was read besides records. */
export interface ReadCounts {
  lines: number;
  bad_lines: number;
  holes: number;
}

/** Yields the records of a journal; holes and bad lines are counted. */
export async function* journalRecords(
  chunks: AsyncIterable<JournalChunk>,
  counts: ReadCounts,
): AsyncGenerator<JournalRecord> {
  const decoder = new TextDecoder();
  for await (const { bytes } of chunks) {
    for (const text of decoder.decode(bytes).split("\n")) {
      if (text.trim() === "") continue;
      counts.lines++;
      const parsed = parseLine(text);
      if ("problem" in parsed) counts.bad_lines++;
      else if (isHole(parsed.line)) counts.holes++;
      else yield parsed.line;
    }
  }
}
