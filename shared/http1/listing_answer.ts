/** Answers with lists that may have many megabytes: they are written entry by entry, in time slices of the tenant. */
import { inChunks } from "./answer.ts";
import { slice } from "../turns/slices.ts";

/** Characters that are written in one piece, unless a single entry has more. */
const PIECE_CHARS = 65_536;

const encoder = new TextEncoder();

/** An object as JSON, each entry of its lists in a piece of its own. */
function* piecesOf(body: Readonly<Record<string, unknown>>): Generator<string> {
  let before = "{";
  for (const [name, value] of Object.entries(body)) {
    if (value === undefined) continue;
    const head = `${before}${JSON.stringify(name)}:`;
    before = ",";
    if (!Array.isArray(value) && !(value instanceof Iterator)) {
      yield head + JSON.stringify(value);
      continue;
    }
    let lead = `${head}[`;
    for (const one of value) {
      yield lead + (JSON.stringify(one) ?? "null");
      lead = ",";
    }
    yield lead === "," ? "]" : `${lead}]`;
  }
  yield before === "{" ? "{}" : "}";
}

/** The pieces as bytes, each chunk in a time slice of the tenant. */
async function* chunksOf(tenant_id: string, body: Readonly<Record<string, unknown>>) {
  await slice(tenant_id);
  let text = "";
  for (const piece of piecesOf(body)) {
    text += piece;
    if (text.length < PIECE_CHARS) continue;
    yield encoder.encode(text);
    text = "";
    await slice(tenant_id);
  }
  yield encoder.encode(text);
}

/**
 * The same answer as `Response.json` gives, in pieces; an iterator is a list whose entries are made as they are
 * written.
 */
export const listingAnswer = (
  tenant_id: string,
  body: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Response =>
  inChunks(
    new Response(ReadableStream.from(chunksOf(tenant_id, body)), {
      headers: { "content-type": "application/json", ...headers },
    }),
  );
