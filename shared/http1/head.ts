/**
 * The head of an HTTP/1.1 request (RFC 9112), read as strictly as the RFC allows: ambiguous input is refused; and its
 * body, from chunks of bytes cut anywhere. Pure; `exchange.ts` has sockets.
 */
import { Buffer } from "node:buffer";

/** A refused request; its connection ends after the answer. */
export class MalformedRequest extends Error {
  override readonly name = "MalformedRequest";
  readonly status: number;

  /** `message` tells the client what is wrong, and where. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** How the end of a request's body is determined. */
export type Framing =
  | { readonly kind: "length"; readonly size_bytes: number }
  | { readonly kind: "chunked" };

/** The head of one request. */
export interface RequestHead {
  readonly method: string;
  /** The target in the request line. */
  readonly target: string;
  /** The headers in order, values trimmed. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The value of Host; empty only in HTTP/1.0. */
  readonly host: string;
  readonly framing: Framing;
  /** True if the connection may serve another request. */
  readonly keep_alive: boolean;
  /** True if the client waits for 100 before it sends the body. */
  readonly expects_continue: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/;
/** The characters of a field value (RFC 9110, 5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Host and port, loosely: it only matters that it is one authority, without user or path. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d{0,5})?$/;
const DIGITS = /^\d{1,15}$/;
/** The most header lines; no client sends so many. */
const HEADERS_MAX = 200;
const CR = 13, LF = 10;

/**
 * The index after the empty line that ends the head; -1 if it is incomplete. `from`: where to search, at least three
 * bytes before the new ones.
 */
export function endOfHead(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at >= 3 && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) {
      return at + 1;
    }
  }
  return -1;
}

/** Parses a head with its empty line. Throws MalformedRequest. */
export function parseHead(bytes: Uint8Array): RequestHead {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("latin1");
  const lines = text.slice(0, -4).split("\r\n");
  const line = REQUEST_LINE.exec(lines[0] ?? "");
  if (line === null) throw new MalformedRequest(400, "the request line is malformed");
  const [, method, target, major, minor] = line as unknown as string[] & { length: 5 };
  if (major !== "1" || minor as string > "1") {
    throw new MalformedRequest(505, `HTTP/${major}.${minor}; HTTP/1.1 is spoken`);
  }
  // Some readers take "get" for GET, others for an unknown method.
  if (method !== (method as string).toUpperCase()) {
    throw new MalformedRequest(400, "a method in lower case");
  }
  if (lines.length > HEADERS_MAX) {
    throw new MalformedRequest(431, `more than ${HEADERS_MAX} headers`);
  }
  const headers: [string, string][] = [];
  let at = (lines[0] as string).length + 2;
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] as string;
    headers.push(parseField(line, buffer, at));
    at += line.length + 2;
  }
  const old = minor === "0";
  return {
    method: method as string,
    target: requireTarget(method as string, target as string),
    // RFC 9110, 7.8: in HTTP/1.0 an Upgrade is ignored.
    headers: old ? headers.filter(([name]) => name.toLowerCase() !== "upgrade") : headers,
    host: hostOf(headers, old),
    framing: framingOf(headers, old),
    keep_alive: keepsAlive(headers, old),
    expects_continue: expectsContinue(headers, old),
  };
}

/**
 * Reads a field and its value as strings of their own: a slice would keep the whole string in memory, all headers and
 * the token, as long as a connection remembers the slice. `start` is the start of the line.
 */
function parseField(line: string, buffer: Buffer, start: number): [string, string] {
  if (line.startsWith(" ") || line.startsWith("\t")) {
    throw new MalformedRequest(400, "a header over several lines");
  }
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0));
  if (!TOKEN.test(name)) throw new MalformedRequest(400, "the name of a header is malformed");
  const [from, to] = trimmed(line, colon + 1);
  if (!VALUE.test(line.slice(from, to))) {
    throw new MalformedRequest(400, `a control character in header ${name}`);
  }
  return [
    buffer.toString("latin1", start, start + colon),
    buffer.toString("latin1", start + from, start + to),
  ];
}

/** The start and the end of the text after `begin`, without spaces and tabs around it. */
function trimmed(line: string, begin: number): [start: number, end: number] {
  let start = begin;
  let end = line.length;
  while (start < end && isBlank(line.charCodeAt(start))) start++;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--;
  return [start, end];
}

function isBlank(unit: number): boolean {
  return unit === 32 || unit === 9;
}

/** Characters that URL parsers take for a slash or the end of the path, and proxies do not. */
const AMBIGUOUS = /[\\#]/;
/** Finds "." or ".." as a path segment: some readers resolve it, others do not. */
const DOTS = /\/(?:\.|%2e){1,2}(?:[/?]|$)/i;

function requireTarget(method: string, target: string): string {
  const path = target.split("?", 1)[0] as string;
  if (AMBIGUOUS.test(path) || DOTS.test(path) || target.includes("#")) {
    throw new MalformedRequest(400, "a target with a backslash, a fragment, or . or .. as a part");
  }
  if (target.startsWith("/") || /^https?:\/\//i.test(target)) return target;
  if (target === "*" && method === "OPTIONS") return target;
  throw new MalformedRequest(400, "the target of the request is neither a path nor a URL");
}

function itemsOf(headers: readonly (readonly [string, string])[], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name)
    .flatMap(([, value]) => value.split(","))
    .map((item) => item.slice(...trimmed(item, 0)).toLowerCase());
}

/** All values of a header, unchanged; `name` is in lower case. */
export function valuesOf(headers: readonly (readonly [string, string])[], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

function hostOf(headers: readonly (readonly [string, string])[], old: boolean): string {
  const hosts = valuesOf(headers, "host");
  if (hosts.length > 1) throw new MalformedRequest(400, "several Host headers");
  const host = hosts[0];
  if (host === undefined) {
    if (old) return "";
    throw new MalformedRequest(400, "the Host header is missing");
  }
  if (!HOST.test(host)) throw new MalformedRequest(400, "the Host header is malformed");
  return host;
}

function framingOf(headers: readonly (readonly [string, string])[], old: boolean): Framing {
  const lengths = valuesOf(headers, "content-length");
  const codings = itemsOf(headers, "transfer-encoding");
  if (codings.length > 0) {
    if (lengths.length > 0) {
      throw new MalformedRequest(400, "both Content-Length and Transfer-Encoding");
    }
    if (old) throw new MalformedRequest(400, "Transfer-Encoding in HTTP/1.0");
    if (codings.length > 1 || codings[0] !== "chunked") {
      throw new MalformedRequest(501, "a Transfer-Encoding other than chunked");
    }
    return { kind: "chunked" };
  }
  if (lengths.length > 1) throw new MalformedRequest(400, "several Content-Length headers");
  const length = lengths[0] ?? "0";
  if (!DIGITS.test(length)) throw new MalformedRequest(400, "Content-Length is no number of bytes");
  return { kind: "length", size_bytes: Number(length) };
}

function keepsAlive(headers: readonly (readonly [string, string])[], old: boolean): boolean {
  const options = itemsOf(headers, "connection");
  // After a request for another protocol, some readers see HTTP and others do not.
  if (options.includes("close") || valuesOf(headers, "upgrade").length > 0) return false;
  return !old || options.includes("keep-alive");
}

function expectsContinue(headers: readonly (readonly [string, string])[], old: boolean): boolean {
  const expectations = itemsOf(headers, "expect");
  if (expectations.length === 0 || old) return false;
  if (expectations.length === 1 && expectations[0] === "100-continue") return true;
  throw new MalformedRequest(417, "an expectation other than 100-continue");
}

/** The most bytes of the extensions of one chunk, and of all trailers together; all are ignored. */
const EXTRA_BYTES_MAX = 4_096;
/** The most digits of a chunk's size: seven hexadecimal ones, for 256 MiB. */
const SIZE_DIGITS_MAX = 7;
const SEMICOLON = 59, QUOTE = 34;
const TRAILER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*$/;
/** Fields forbidden in a trailer, since they decide how a message is read (RFC 9110, 6.5.1). */
const NOT_IN_TRAILERS = /^(content-length|transfer-encoding|host|connection|upgrade|trailer|te)$/i;

type Place =
  | "size"
  | "extension"
  | "size-end"
  | "data"
  | "data-cr"
  | "data-lf"
  | "trailer"
  | "done";

/** Reads one body. `data` is called with parts of the body, as views of the bytes passed to `read`. */
export class BodyReader {
  #place: Place;
  #left_bytes = 0;
  #digits = 0;
  #extra_bytes = 0;
  /** The trailer line so far, and whether its last byte is CR. */
  #line = "";
  #after_cr = false;

  constructor(framing: Framing) {
    if (framing.kind === "length") this.#left_bytes = framing.size_bytes;
    this.#place = framing.kind === "chunked" ? "size" : framing.size_bytes > 0 ? "data" : "done";
    this.#chunked = framing.kind === "chunked";
  }

  readonly #chunked: boolean;

  /** Whether the body is complete. */
  get done(): boolean {
    return this.#place === "done";
  }

  /** The remaining bytes of the body; for a chunked one unknown before its end. */
  get left_bytes(): number {
    if (this.done) return 0;
    return this.#chunked ? Infinity : this.#left_bytes;
  }

  /** Reads until the chunk or the body ends; returns where it stopped. Throws MalformedRequest. */
  read(chunk: Uint8Array, start: number, data: (part: Uint8Array) => void): number {
    let at = start;
    while (at < chunk.length && this.#place !== "done") {
      if (this.#place === "data") {
        const end = Math.min(chunk.length, at + this.#left_bytes);
        this.#left_bytes -= end - at;
        data(chunk.subarray(at, end));
        at = end;
        if (this.#left_bytes === 0) this.#place = this.#chunked ? "data-cr" : "done";
      } else this.#step(chunk[at++] as number);
    }
    return at;
  }

  /** Reads one byte outside of the data of chunks. */
  #step(byte: number): void {
    if (this.#place === "trailer") return this.#trailer(byte);
    if (this.#place === "size") return this.#size(byte);
    if (this.#place === "extension") {
      if (byte === CR) this.#place = "size-end";
      // If a quoted text is unterminated, readers disagree about the end of the line.
      else if (byte === QUOTE) throw malformed("a quote in a chunk extension");
      else this.#extra(byte);
      return;
    }
    const expected = this.#place === "data-cr" ? CR : LF;
    if (byte !== expected) throw malformed("a chunk does not end where its size says");
    if (this.#place === "data-cr") this.#place = "data-lf";
    else if (this.#place === "data-lf") this.#next();
    else this.#place = this.#left_bytes > 0 ? "data" : "trailer";
  }

  #size(byte: number): void {
    const digit = hexOf(byte);
    if (digit !== undefined) {
      if (++this.#digits > SIZE_DIGITS_MAX) throw malformed("the size of a chunk is too long");
      this.#left_bytes = this.#left_bytes * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw malformed("the size of a chunk is missing");
    if (byte === CR) this.#place = "size-end";
    else if (byte === SEMICOLON) this.#place = "extension";
    else throw malformed("the size of a chunk is no hexadecimal number");
  }

  #next(): void {
    this.#place = "size";
    this.#digits = this.#left_bytes = 0;
  }

  /** Skips the trailers, up to the empty line. */
  #trailer(byte: number): void {
    if (this.#after_cr) {
      if (byte !== LF) throw malformed("a trailer with a bare CR");
      this.#after_cr = false;
      if (this.#line === "") this.#place = "done";
      else requireTrailer(this.#line);
      this.#line = "";
    } else if (byte === CR) this.#after_cr = true;
    else {
      this.#extra(byte);
      this.#line += String.fromCharCode(byte);
    }
  }

  #extra(byte: number): void {
    if (byte === LF || byte === 0) throw malformed("a bare LF or NUL in a chunked body");
    if (++this.#extra_bytes > EXTRA_BYTES_MAX) {
      throw malformed(`chunk extensions and trailers of more than ${EXTRA_BYTES_MAX} bytes`);
    }
  }
}

/** Refuses a trailer that a reader could take for a header, and so read another message. */
function requireTrailer(line: string): void {
  const name = TRAILER.exec(line)?.[1];
  if (name === undefined) throw malformed("a trailer that is no header");
  if (NOT_IN_TRAILERS.test(name)) throw malformed(`${name} as a trailer`);
}

function hexOf(byte: number): number | undefined {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : undefined;
}

function malformed(problem: string): MalformedRequest {
  return new MalformedRequest(400, problem);
}
