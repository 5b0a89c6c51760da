/**
 * Splits a stream of journal lines into chunks of whole lines, which threads then read, in a browser, too. It only
 * looks for line ends and parses no record.
 */
import { concat } from "../../shared/containers/concat.ts";
import { isHole, type JournalRecord, parseLine } from "../../shared/journal/record.ts";
import { CommandError } from "../terminal/exit.ts";

/** Counts of everything other than records. */
interface ReadCounts {
  lines: number;
  bad_lines: number;
  holes: number;
}

/** Yields the records of a journal; holes and bad lines are counted. */
export async function* journalRecords(
  chunks: AsyncIterable<JournalChunk>,
  counts: ReadCounts,
): AsyncGenerator<JournalRecord> {
  for await (const { bytes } of chunks) yield* recordsIn(bytes, counts);
}

/** Yields the records of whole lines. */
export function* recordsIn(bytes: Uint8Array, counts: ReadCounts): Generator<JournalRecord> {
  for (const text of new TextDecoder().decode(bytes).split("\n")) {
    if (text.trim() === "") continue;
    counts.lines++;
    const parsed = parseLine(text);
    if ("problem" in parsed) counts.bad_lines++;
    else if (isHole(parsed.line)) counts.holes++;
    else yield parsed.line;
  }
}

/** Whole lines, in the order in which they came. */
export interface JournalChunk {
  /** Number of the first line, from 1; blank lines count. */
  readonly first_line: number;
  /** The lines with their newlines; the last line of all may have none. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Approximate size of a chunk. */
const CHUNK_BYTES = 262_144;
/** Most bytes of a line: a payload of 16 MiB in base64 and the rest of the record. */
const LINE_BYTES_MAX = 33_554_432;
const NEWLINE = 0x0a;

function linesIn(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

/** Yields the lines of `stream` in chunks. Throws a `CommandError` for a line that no journal can have. */
export async function* journalChunks(
  stream: AsyncIterable<Uint8Array>,
  source: string,
  chunk_bytes: number = CHUNK_BYTES,
): AsyncGenerator<JournalChunk> {
  let first_line = 1;
  let parts: Uint8Array[] = [];
  let size_bytes = 0;
  for await (const part of stream) {
    const newline = part.lastIndexOf(NEWLINE) + 1;
    const end = size_bytes + newline >= chunk_bytes ? newline : 0;
    if (end > 0) {
      const bytes = concat([...parts, part.subarray(0, end)]);
      // The consumer may transfer the chunk's bytes to another thread.
      const lines = linesIn(bytes);
      yield { first_line, bytes };
      first_line += lines;
      parts = [];
      size_bytes = 0;
    }
    if (end === part.length) continue;
    // A copy, since the stream may reuse its buffer.
    parts.push(part.slice(end));
    size_bytes += part.length - end;
    if (size_bytes > LINE_BYTES_MAX + chunk_bytes) {
      throw new CommandError(`${source}, line ${first_line}: longer than any line of a journal`);
    }
  }
  if (size_bytes > 0) yield { first_line, bytes: concat(parts) };
}
