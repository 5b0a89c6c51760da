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
  /** Answers of the admin API in the file, by whether the journal had more. */
  readonly answers?: { open: number; whole: number };
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
  const texts = new TextDecoder().decode(bytes).split("\n");
  for (const [at, text] of texts.entries()) {
    // Files that were joined may lack a line end between two records.
    for (const one of text.includes('}{"') ? text.split(JOINED) : [text]) {
      if (one.trim() === "" || isAnswerEnd(one, counts)) continue;
      counts.lines++;
      const parsed = parseLine(one);
      if ("line" in parsed) {
        yield parsed.line;
        continue;
      }
      counts.bad_lines++;
      const problem = problemOf(one, parsed.problem, at === texts.length - 1);
      counts.first_bad ??= { line: first_line + at, problem };
    }
  }
}

/** Between two lines; no text of a record has this, since a name does not follow a text. */
const JOINED = /(?<=\})(?=\{"(?:format|next)":)/;

/** Whether it is the last line of an answer of the admin API, which says whether there was more. */
function isAnswerEnd(text: string, { answers }: ReadCounts): boolean {
  const [, is_end] = /^\{"next":"[^"]*","is_end":(true|false)[,}]/.exec(text) ?? [];
  if (is_end === undefined) return false;
  if (answers !== undefined) answers[is_end === "true" ? "whole" : "open"]++;
  return true;
}

/** Why a line is none of a journal; `is_cut`: there is no line end behind it. */
function problemOf(text: string, problem: string, is_cut: boolean): string {
  if (is_cut && text.startsWith("{") && !text.trimEnd().endsWith("}")) {
    return "the file is cut off within it";
  }
  if (text.startsWith("[")) return "a list; a journal has one record in each line (jq -c '.[]')";
  const [, reason] = /"type":"urn:arqon:error:([a-z-]+)"/.exec(text) ?? [];
  return reason === undefined ? problem : `a refusal of the admin API: ${reason}`;
}

/** What a file lacks that has only a part of what the admin API would have answered; "": nothing. */
export function openEndText({ open, whole }: { readonly open: number; readonly whole: number }) {
  return open > 0 && whole === 0
    ? "the admin API's answer ends before the journal: continue it with after="
    : "";
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

/** Numbers of one Shield that are kept together, a bit for each. */
const NUMBERS = 8_192;
const HEAD_BYTES = 160;
const SPACE = 0x20;

/** Whether a record was not seen before; `blocks` has the seen ones. */
function isFirst(blocks: Map<string, Uint8Array>, node: string, number: number): boolean {
  const key = `${node} ${Math.floor(number / NUMBERS)}`;
  const bits = blocks.get(key) ?? new Uint8Array(NUMBERS / 8);
  blocks.set(key, bits);
  const at = number % NUMBERS;
  const is_first = ((bits[at >> 3] as number) & 1 << (at & 7)) === 0;
  bits[at >> 3]! |= 1 << (at & 7);
  return is_first;
}

/** The chunks with blanks in place of records that came before: joined files may have some twice. */
export async function* withoutRepeats(
  chunks: AsyncIterable<JournalChunk>,
): AsyncGenerator<JournalChunk> {
  const blocks = new Map<string, Uint8Array>();
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    const { bytes } = chunk;
    for (let start = 0, end = 0; start < bytes.length; start = end + 1) {
      end = bytes.indexOf(NEWLINE, start);
      if (end < 0) end = bytes.length;
      const head = decoder.decode(bytes.subarray(start, Math.min(end, start + HEAD_BYTES)));
      const [, node, number] = /^\{"format":\d+,"id":"([^"]+)\.(\d{1,16})"/.exec(head) ?? [];
      if (node === undefined || isFirst(blocks, node, Number(number))) continue;
      const line = bytes.subarray(start, end);
      if (!JOINED.test(decoder.decode(line))) line.fill(SPACE);
    }
    yield chunk;
  }
}
