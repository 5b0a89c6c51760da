/**
 * Reads the HTTP/1.1 answer of a hook's receiver, within limits. The connection ends with the answer, so only its
 * beginning has to be parsed. `call.ts` calls.
 */

export interface CallAnswer {
  readonly status: number;
  /** The body; undefined: it exceeds the limit. */
  readonly body: Uint8Array | undefined;
  /** Its `Retry-After`, in ms; absent: none. */
  readonly retry_after_ms?: number;
}

const HEAD_BYTES = 16_384;
const STATUS = /^HTTP\/1\.[01] ([1-9]\d\d)(?: |$)/;
const decoder = new TextDecoder("latin1");
const END = "\r\n\r\n";

interface Source {
  read(into: Uint8Array): Promise<number | null>;
}

/** Arriving bytes of a connection. */
class Incoming {
  #bytes = new Uint8Array(0);
  readonly #source: Source;
  readonly #piece = new Uint8Array(16_384);

  constructor(source: Source) {
    this.#source = source;
  }

  get text(): string {
    return decoder.decode(this.#bytes);
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Takes this many bytes from the beginning. */
  take(count: number): Uint8Array {
    const taken = this.#bytes.slice(0, count);
    this.#bytes = this.#bytes.slice(count);
    return taken;
  }

  /** False at the end. */
  async more(): Promise<boolean> {
    const count = await this.#source.read(this.#piece);
    if (count === null) return false;
    const joined = new Uint8Array(this.#bytes.length + count);
    joined.set(this.#bytes);
    joined.set(this.#piece.subarray(0, count), this.#bytes.length);
    this.#bytes = joined;
    return true;
  }
}

/** A head with its status; skips those of 1xx. Throws if it is malformed. */
async function readHead(incoming: Incoming): Promise<{ status: number; head: string }> {
  for (;;) {
    const at = incoming.text.indexOf(END);
    if (at < 0) {
      if (incoming.length > HEAD_BYTES) throw new Error("the head of the answer is too long");
      if (!await incoming.more()) throw new Error("the connection ended without an answer");
      continue;
    }
    const head = incoming.text.slice(0, at + 2);
    incoming.take(at + END.length);
    const status = Number(STATUS.exec(head)?.[1] ?? NaN);
    if (Number.isNaN(status)) throw new Error("the answer is no HTTP/1.1");
    if (status >= 200 || status === 101) return { status, head };
  }
}

const SIZE = /^([0-9a-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n/i;

/** Reads a chunked body. Undefined: it is longer than `most`. Throws if it is malformed. */
async function readChunks(incoming: Incoming, most: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const line = SIZE.exec(incoming.text);
    if (line === null) {
      if (incoming.length > 256 || !await incoming.more()) throw new Error("a malformed chunk");
      continue;
    }
    const count = parseInt(line[1] as string, 16);
    incoming.take(line[0].length);
    if (count === 0) return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
    size += count;
    if (size > most) return undefined;
    while (incoming.length < count + 2) {
      if (!await incoming.more()) throw new Error("the answer ended too early");
    }
    chunks.push(incoming.take(count));
    incoming.take(2);
  }
}

/** Reads a body of a length, or (undefined) up to the end. Undefined: it is longer than `most`. */
async function readPlain(
  incoming: Incoming,
  length: number | undefined,
  most: number,
): Promise<Uint8Array | undefined> {
  if (length !== undefined && length > most) return undefined;
  while (incoming.length < (length ?? most + 1)) {
    if (await incoming.more()) continue;
    if (length !== undefined) throw new Error("the answer ended too early");
    break;
  }
  if (length !== undefined) return incoming.take(length);
  return incoming.length > most ? undefined : incoming.take(most);
}

/** The value of a header; "": none. */
const headerOf = (head: string, name: string): string =>
  new RegExp(`\r\n${name}:[ \t]*([^\r\n]*?)[ \t]*\r\n`, "i").exec(head)?.[1] ?? "";

/** The delay in `Retry-After`. A date is compared with that of the answer, since our clock may differ. */
function retryAfter(head: string): { readonly retry_after_ms?: number } {
  const text = headerOf(head, "retry-after");
  if (/^\d{1,9}$/.test(text)) return { retry_after_ms: Number(text) * 1_000 };
  const wait_ms = /^[A-Z]/i.test(text)
    ? Date.parse(text) - Date.parse(headerOf(head, "date"))
    : NaN;
  return Number.isNaN(wait_ms) ? {} : { retry_after_ms: Math.max(0, wait_ms) };
}

async function readBody(incoming: Incoming, status: number, head: string, most: number) {
  if (most === 0) return undefined;
  if (status === 204 || status === 304) return new Uint8Array(0);
  if (/^chunked$/i.test(headerOf(head, "transfer-encoding"))) return readChunks(incoming, most);
  const digits = headerOf(head, "content-length");
  return await readPlain(incoming, /^\d{1,15}$/.test(digits) ? Number(digits) : undefined, most);
}

/** Reads an answer; with `most` 0 only its head. Rejects if it is malformed, or ends too early. */
export async function readAnswer(source: Source, most: number): Promise<CallAnswer> {
  const incoming = new Incoming(source);
  const { status, head } = await readHead(incoming);
  return { status, body: await readBody(incoming, status, head, most), ...retryAfter(head) };
}
