/**
 * Splits a stream of bytes into lines of JSON. The bytes of a line are checked and never changed, not even a carriage
 * return. Blank lines are skipped.
 */
import { concat } from "../../shared/containers/concat.ts";
import { CommandError, failed, printable, whyOf } from "./exit.ts";

/** One line of JSON in the input. */
interface NdjsonLine {
  /** Number of the line, from 1; blank lines count. */
  readonly line: number;
  /** The line without its newline. */
  readonly bytes: Uint8Array;
}

/** Most bytes of a line; no bus accepts a longer one (`[limits] max_frame_bytes` is at most 16 MiB). */
export const LINE_BYTES_MAX = 16_777_216;

const NEWLINE = 0x0a;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function check(bytes: Uint8Array, where: string): boolean {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new CommandError(`${where}: not UTF-8; expected one JSON value a line`);
  }
  if (text.trim() === "" && !text.startsWith("\ufeff")) return false;
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const why = text.startsWith("\ufeff") ? "the line begins with a byte order mark" : whyOf(error);
    throw failed(`${where}: not JSON: ${printable(why)}`, "expected one JSON value a line");
  }
}

/** The lines of a stream without their newlines. One of more than `most` bytes may be cut, and is then the last. */
export async function* byteLines(
  chunks: AsyncIterable<Uint8Array>,
  most: number,
): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let size_bytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) {
      yield concat([...parts, chunk.subarray(start, end)]);
      parts = [];
      size_bytes = 0;
    }
    // A copy, since the stream may reuse its buffer.
    parts.push(chunk.slice(start));
    size_bytes += chunk.length - start;
    if (size_bytes > most) break;
  }
  if (size_bytes > 0) yield concat(parts);
}

/**
 * Yields the lines of `chunks`. Throws a `CommandError` with `source` and the line number for a line that is
 * not UTF-8, is not JSON, or is longer than `line_bytes_max`; earlier lines have been yielded.
 */
export async function* readNdjson(
  chunks: AsyncIterable<Uint8Array>,
  source: string,
  line_bytes_max: number = LINE_BYTES_MAX,
): AsyncGenerator<NdjsonLine> {
  let line = 0;
  for await (const bytes of byteLines(chunks, line_bytes_max)) {
    const where = `${source}, line ${++line}`;
    if (bytes.length > line_bytes_max) {
      throw new CommandError(
        `${where}: ${bytes.length} bytes; at most ${line_bytes_max} are allowed`,
      );
    }
    if (check(bytes, where)) yield { line, bytes };
  }
}
