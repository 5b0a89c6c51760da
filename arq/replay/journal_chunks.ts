/**
 * Splits a stream of journal lines into chunks of whole lines, which threads then read, in a browser, too. It only
 * looks for line ends and parses no record.
 */
import { concat } from "../../shared/containers/concat.ts";
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalLine, JournalRecord } from "../../shared/journal/record.ts";
import { CommandError } from "../terminal/exit.ts";

/** Counts of everything other than records. */
interface ReadCounts {
  lines: number;
  bad_lines: number;
  holes: number;
  /** The first line that does not belong to a journal. */
  first_bad?: { readonly line: number; readonly problem: string } | null;
}

/** Yields the records of a journal; holes and bad lines are counted. */
export async function* journalRecords(
  chunks: AsyncIterable<JournalChunk>,
  counts: ReadCounts,
): AsyncGenerator<JournalRecord> {
  for await (const chunk of chunks) yield* recordsIn(chunk, counts);
}

/** Yields the records of whole lines. */
export function* recordsIn(
  chunk: Pick<JournalChunk, "bytes"> & Partial<JournalChunk>,
  counts: ReadCounts,
): Generator<JournalRecord> {
  for (const line of linesIn(chunk, counts)) {
    if (isHole(line)) counts.holes++;
    else yield line;
  }
}

/** Yields records and holes; bad lines are counted. */
export function* linesIn(
  { bytes, first_line = 1 }: Pick<JournalChunk, "bytes"> & Partial<JournalChunk>,
  counts: ReadCounts,
): Generator<JournalLine> {
  for (const [at, text] of new TextDecoder().decode(bytes).split("\n").entries()) {
    if (text.trim() === "") continue;
    counts.lines++;
    const parsed = parseLine(text);
    if ("line" in parsed) {
      yield parsed.line;
      continue;
    }
    counts.bad_lines++;
    counts.first_bad ??= { line: first_line + at, problem: parsed.problem };
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

function lineEnds(bytes: Uint8Array): number {
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
      const lines = lineEnds(bytes);
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
