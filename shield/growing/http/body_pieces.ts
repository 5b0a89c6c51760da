/**
 * The body of a request as text, as it comes: what has come since the last look is one piece. Bounded by what
 * the reader takes: nothing is read ahead.
 */
import { ArqonError } from "@arqon/proto";

/** Characters of one piece. */
const PIECE_UNITS = 16_384;

/** The pieces of a body. Throws `malformed-body` for what is no UTF-8, and for a body that ends early. */
export async function* bodyPieces(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<string, void> {
  const text = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of body ?? []) yield* cut(text.decode(chunk, { stream: true }));
    yield* cut(text.decode());
  } catch (cause) {
    const detail = cause instanceof TypeError ? "not UTF-8" : "it ended early";
    throw new ArqonError("malformed-body", detail, { cause });
  }
}

/** Cuts a text between its characters. */
function* cut(text: string): Generator<string, void> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + PIECE_UNITS);
    if (end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1] ?? "")) end--;
    yield text.slice(at, end);
    at = end;
  }
}
