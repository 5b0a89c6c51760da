/**
 * Writes answers of HTTP/1.1: complete bodies with their length, open-ended ones in chunks, lists of many megabytes
 * entry by entry. `exchange.ts` decides when to answer and what follows.
 */
import { STATUS_CODES } from "node:http";
import { concat } from "../containers/concat.ts";
import { type ByteStream, writeAll } from "./byte_stream.ts";
import { slice } from "../turns/slices.ts";

/** What an answer needs from its request. */
interface AnswerTo {
  readonly method: string;
  /** True if the connection serves another request. */
  readonly keep_alive: boolean;
  readonly date: string;
}

/** Headers written here, whatever the handler sets. */
const OWN_HEADERS = /^(connection|content-length|transfer-encoding|date|keep-alive)$/i;
const STREAMED = /^(text\/event-stream|application\/x-(ndjson|tar))\b/;
/** The most bytes of head and body that are joined for one write. */
const JOINED_BYTES = 65_536;
const encoder = new TextEncoder();

/** Whether the body is streamed; any other body is complete, or soon will be. */
export function isStreamed(response: Response): boolean {
  // The runtime sends a body in chunks once `body` was read, so the type is checked first.
  return STREAMED.test(response.headers.get("content-type") ?? "") && response.body !== null;
}

function headLines(response: Response, { keep_alive, date }: AnswerTo): string[] {
  const { status, statusText } = response;
  const lines = [`HTTP/1.1 ${status} ${statusText || (STATUS_CODES[status] ?? "")}`];
  for (const [name, value] of response.headers) {
    if (!OWN_HEADERS.test(name)) lines.push(`${name}: ${value}`);
  }
  lines.push(`date: ${date}`);
  if (!keep_alive) lines.push("connection: close");
  return lines;
}

const headBytes = (lines: readonly string[]) => encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);

/** Writes an answer with a finite body. Rejects if the peer is gone. */
export async function writeAnswer(
  stream: ByteStream,
  response: Response,
  to: AnswerTo,
): Promise<void> {
  const { status } = response;
  const bodiless = to.method === "HEAD" || status === 204 || status === 304;
  const lines = headLines(response, to);
  if (bodiless && isStreamed(response)) {
    await response.body?.cancel();
    return await writeAll(stream, headBytes(lines));
  }
  const body = large.has(response)
    ? await Array.fromAsync(response.body as ReadableStream<Uint8Array<ArrayBuffer>>)
    : [new Uint8Array(await response.arrayBuffer())];
  const size_bytes = body.reduce((sum, { length }) => sum + length, 0);
  if (status !== 204 && status !== 304) lines.push(`content-length: ${size_bytes}`);
  const head = headBytes(lines);
  if (bodiless || size_bytes === 0) return await writeAll(stream, head);
  if (size_bytes > JOINED_BYTES) {
    for (const part of [head, ...body]) await writeAll(stream, part);
  } else await writeAll(stream, concat([head, ...body]));
}

/** Answers whose bodies are many chunks, which stay apart: to join megabytes takes many milliseconds. */
const large = new WeakSet<Response>();

/** The same answer, whose chunks are not joined. Only for one with a body. */
export function inChunks(response: Response): Response {
  large.add(response);
  return response;
}

/**
 * Streams an answer; the callbacks run before and after each write, and when the body fails. Its `cancel` is called
 * when `gone` resolves and when a write fails, which rejects. The connection ends with the answer.
 */
export async function streamAnswer(
  stream: ByteStream,
  response: Response,
  { date, gone, onFailure, onWrite, onWritten }: {
    readonly date: string;
    readonly gone: Promise<void>;
    readonly onFailure: (error: unknown) => void;
    readonly onWrite: () => void;
    readonly onWritten: () => void;
  },
): Promise<void> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  reader.closed.catch(onFailure);
  // Its source has failed already, or ends.
  const cancel = () => reader.cancel().catch(() => {});
  gone.then(cancel);
  const write = async (bytes: Uint8Array<ArrayBuffer>) => {
    onWrite();
    await writeAll(stream, bytes);
    onWritten();
  };
  try {
    const lines = headLines(response, { method: "GET", keep_alive: false, date });
    await write(headBytes([...lines, "transfer-encoding: chunked"]));
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value.length > 0) await write(chunkOf(value));
    }
    await write(encoder.encode("0\r\n\r\n"));
  } catch (error) {
    await cancel();
    throw error;
  }
}

function chunkOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = encoder.encode(`${bytes.length.toString(16)}\r\n`);
  const chunk = new Uint8Array(size.length + bytes.length + 2);
  chunk.set(size);
  chunk.set(bytes, size.length);
  chunk.set([13, 10], size.length + bytes.length);
  return chunk;
}

/** Characters that are written in one piece, unless a single entry has more. */
const PIECE_CHARS = 65_536;

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
