/**
 * Splits a stream of bytes into lines of JSON. The bytes of a line are checked and never changed, not even a carriage
 * return. Blank lines are skipped.
 */
import { CommandError, failed, printable } from "./exit.ts";

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
    const why = text.startsWith("\ufeff")
      ? "the line begins with a byte order mark"
      : error instanceof Error
      ? error.message
      : String(error);
    throw failed(`${where}: not JSON: ${printable(why)}`, "expected one JSON value a line");
  }
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
  let line = 1;
  let partial: Uint8Array[] = [];
  let partial_bytes = 0;
  const take = (rest: Uint8Array): NdjsonLine | undefined => {
    const where = `${source}, line ${line}`;
    const size_bytes = partial_bytes + rest.length;
    if (size_bytes > line_bytes_max) {
      throw new CommandError(
        `${where}: ${size_bytes} bytes; at most ${line_bytes_max} are allowed`,
      );
    }
    const bytes = new Uint8Array(size_bytes);
    let at = 0;
    for (const part of [...partial, rest]) {
      bytes.set(part, at);
      at += part.length;
    }
    partial = [];
    partial_bytes = 0;
    return check(bytes, where) ? { line, bytes } : undefined;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) {
      const found = take(chunk.subarray(start, end));
      if (found !== undefined) yield found;
      line += 1;
    }
    if (start === chunk.length) continue;
    // A copy, since the stream may reuse its buffer.
    partial.push(chunk.slice(start));
    partial_bytes += chunk.length - start;
    if (partial_bytes > line_bytes_max) take(new Uint8Array());
  }
  if (partial_bytes > 0) {
    const found = take(new Uint8Array());
    if (found !== undefined) yield found;
  }
}
