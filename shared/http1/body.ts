/**
 * Reads the body of an HTTP/1.1 request from chunks of bytes, cut anywhere: by its length, or chunked (RFC 9112, 6 and
 * 7). Pure; strict, with limits for everything that is not data.
 */
import { type Framing, MalformedRequest } from "./head.ts";

/** The most bytes of the extensions of one chunk, and of all trailers together; all are ignored. */
const EXTRA_BYTES_MAX = 4_096;
/** The most digits of a chunk's size: seven hexadecimal ones, for 256 MiB. */
const SIZE_DIGITS_MAX = 7;
const CR = 13, LF = 10, SEMICOLON = 59, QUOTE = 34;
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
