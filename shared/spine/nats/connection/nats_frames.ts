/**
 * Finds the messages in the bytes of a NATS server (`MSG` and `HMSG`) without an object for each: nats.js' own parser
 * costs more than the rest of the message path. Everything else, and messages without a taker here, is passed on
 * unchanged. Reads and writes header blocks like nats.js (3.4.0), in half the time, but leaves out lines for which it
 * throws: whoever may publish could otherwise send messages that nobody answers or logs without a stack. Pure; the
 * client is `nats_wire.ts`.
 */

import { MsgHdrsImpl } from "@nats-io/nats-core";
import type { SpineHeaders } from "../../contract/spine_message.ts";
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const H = 0x48;
const M = 0x4d;
const S = 0x53;
const G = 0x47;
/** More digits than any size, subscription id or sequence has, and still an exact number. */
const DIGITS_MAX = 15;
/** Largest message, in bytes; nats.js' own bound. */
const SIZE_MAX = 67_108_864;
/** Buffer for the control line of a partial message. */
const LINE_BYTES = 512;

/** The position of a message in `bytes`: each part from a `_from` to a `_to`. Valid until its taker returns. */
export interface MessageFrame {
  readonly bytes: Uint8Array;
  /** The id of its subscription. */
  readonly sid: number;
  readonly subject_from: number;
  readonly subject_to: number;
  /** Start of the reply subject; equal to its end: none. */
  readonly reply_from: number;
  readonly reply_to: number;
  /** Equal to `payload_from`: no headers. */
  readonly headers_from: number;
  readonly payload_from: number;
  readonly payload_to: number;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

const NONE: readonly Uint8Array[] = [];
const EMPTY = new Uint8Array(0);
/** The result of `#end` for bytes that are not a whole frame: a partial frame, or no frame. */
const INCOMPLETE = -1;
const STRANGE = -2;

/** The integer in ASCII digits; -1 for anything else. */
function numberIn(bytes: Uint8Array, from: number, to: number): number {
  if (from >= to || to - from > DIGITS_MAX) return -1;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Finds the messages of one connection, chunk by chunk. */
export class FrameScanner {
  readonly #take: (frame: MessageFrame) => boolean;
  readonly #frame: Writable<MessageFrame> = {
    bytes: EMPTY,
    sid: 0,
    subject_from: 0,
    subject_to: 0,
    reply_from: 0,
    reply_to: 0,
    headers_from: 0,
    payload_from: 0,
    payload_to: 0,
  };
  /** Set by `#end`: whether the frame is a message, and the size of a partial one if known. */
  #is_message = false;
  #size_bytes = 0;
  /** A partial frame. */
  #held = EMPTY;
  #held_bytes = 0;
  /** True after unknown input: nats.js gets everything from there on, and reports the error. */
  #gave_up = false;

  /** `take` returns whether it takes the message, and must not throw. */
  constructor(take: (frame: MessageFrame) => boolean) {
    this.#take = take;
  }

  /** Scans a chunk; returns the bytes that were not taken, in order, mostly as views of it. It keeps nothing of it. */
  feed(chunk: Uint8Array): readonly Uint8Array[] {
    if (this.#gave_up) return [chunk];
    if (this.#held_bytes === 0) return this.#scan(chunk, 0);
    const from = this.#complete(chunk);
    const held = this.#held.subarray(0, this.#held_bytes);
    if (this.#gave_up) return [held, chunk.subarray(from)];
    if (this.#size_bytes === 0 || held.length < this.#size_bytes) return NONE;
    this.#held_bytes = 0;
    const first = this.#scan(held, 0);
    if (this.#gave_up) return [...first, chunk.subarray(from)];
    const others = this.#scan(chunk, from);
    return first.length === 0 ? others : [...first, ...others];
  }

  #scan(bytes: Uint8Array, from: number): readonly Uint8Array[] {
    let others: Uint8Array[] | undefined;
    let passed = from;
    let at = from;
    while (at < bytes.length) {
      const end = this.#end(bytes, at);
      if (end === STRANGE) {
        this.#gave_up = true;
        return [...others ?? NONE, bytes.subarray(passed)];
      }
      if (end === INCOMPLETE || end > bytes.length) {
        this.#hold(bytes.subarray(at));
        break;
      }
      if (this.#is_message && this.#take(this.#frame)) {
        if (passed < at) (others ??= []).push(bytes.subarray(passed, at));
        passed = end;
      }
      at = end;
    }
    if (passed < at) (others ??= []).push(bytes.subarray(passed, at));
    return others ?? NONE;
  }

  /** The end of the frame at `at`, possibly beyond the received bytes. */
  #end(bytes: Uint8Array, at: number): number {
    this.#is_message = false;
    this.#size_bytes = 0;
    const first = bytes[at];
    // No server writes lower case, but nats.js accepts it and a payload follows.
    if (first === M || first === H || first === 0x6d || first === 0x68) {
      return this.#messageEnd(bytes, at, first === H);
    }
    const end = bytes.indexOf(LF, at) + 1;
    if (end === 0) return INCOMPLETE;
    this.#size_bytes = end - at;
    return end;
  }

  #messageEnd(bytes: Uint8Array, at: number, has_headers: boolean): number {
    const start = has_headers ? at + 1 : at;
    const { length } = bytes;
    if (start + 4 > length) return INCOMPLETE;
    if (
      bytes[start] !== M || bytes[start + 1] !== S || bytes[start + 2] !== G ||
      bytes[start + 3] !== SPACE
    ) return STRANGE;
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.subject_from = start + 4;
    frame.subject_to = tokenEnd(bytes, frame.subject_from);
    if (bytes[frame.subject_to] !== SPACE) return endOr(frame.subject_to, length);
    const sid_to = tokenEnd(bytes, frame.subject_to + 1);
    if (bytes[sid_to] !== SPACE) return endOr(sid_to, length);
    let from = sid_to + 1;
    let to = tokenEnd(bytes, from);
    // With headers there are two sizes. A further token before the sizes is the reply subject.
    let end = has_headers && bytes[to] === SPACE ? tokenEnd(bytes, to + 1) : to;
    const has_reply = bytes[end] === SPACE;
    frame.reply_from = from;
    frame.reply_to = has_reply ? to : from;
    if (has_reply) {
      from = to + 1;
      to = tokenEnd(bytes, from);
      end = has_headers && bytes[to] === SPACE ? tokenEnd(bytes, to + 1) : to;
    }
    if (end + 1 >= length) return INCOMPLETE;
    if (bytes[end] !== CR || bytes[end + 1] !== LF) return STRANGE;
    if (has_headers && end === to) return STRANGE;
    frame.sid = numberIn(bytes, frame.subject_to + 1, sid_to);
    const headers_bytes = has_headers ? numberIn(bytes, from, to) : 0;
    const size_bytes = has_headers ? numberIn(bytes, to + 1, end) : numberIn(bytes, from, to);
    return this.#payloadEnd(at, end + 2, headers_bytes, size_bytes);
  }

  #payloadEnd(at: number, from: number, headers_bytes: number, size_bytes: number): number {
    const frame = this.#frame;
    const { bytes } = frame;
    if (frame.sid < 0 || frame.subject_from >= frame.subject_to) return STRANGE;
    if (headers_bytes < 0 || size_bytes < headers_bytes || size_bytes > SIZE_MAX) return STRANGE;
    frame.headers_from = from;
    frame.payload_from = from + headers_bytes;
    frame.payload_to = from + size_bytes;
    const end = frame.payload_to + 2;
    this.#size_bytes = end - at;
    if (end > bytes.length) return end;
    if (bytes[end - 2] !== CR || bytes[end - 1] !== LF) return STRANGE;
    this.#is_message = true;
    return end;
  }

  #hold(rest: Uint8Array): void {
    this.#held = new Uint8Array(Math.max(this.#size_bytes, rest.length + LINE_BYTES));
    this.#held.set(rest);
    this.#held_bytes = rest.length;
  }

  /** Completes the partial frame, whose first line has its size; returns how many bytes of `chunk` it used. */
  #complete(chunk: Uint8Array): number {
    let from = 0;
    if (this.#size_bytes === 0) {
      const line_end = chunk.indexOf(LF) + 1;
      from = line_end === 0 ? chunk.length : line_end;
      this.#add(chunk.subarray(0, from));
      if (line_end === 0) return from;
      this.#gave_up = this.#end(this.#held.subarray(0, this.#held_bytes), 0) < 0;
      if (this.#gave_up) return from;
    }
    const to = Math.min(chunk.length, from + this.#size_bytes - this.#held_bytes);
    this.#add(chunk.subarray(from, to));
    return to;
  }

  #add(more: Uint8Array): void {
    const size_bytes = this.#held_bytes + more.length;
    if (size_bytes > this.#held.length) {
      const larger = new Uint8Array(Math.max(this.#size_bytes, 2 * size_bytes));
      larger.set(this.#held.subarray(0, this.#held_bytes));
      this.#held = larger;
    }
    this.#held.set(more, this.#held_bytes);
    this.#held_bytes = size_bytes;
  }
}

/** The result for a token that ends here: invalid, unless the rest has not arrived yet. */
function endOr(at: number, length: number): number {
  return at < length ? STRANGE : INCOMPLETE;
}

/** The end of the token at `from`: the next space or control character, or the end of the bytes. */
function tokenEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] as number) > SPACE) at++;
  return at;
}

/** A block of headers. */
interface HeaderBlock {
  /** The first value of each name. */
  readonly headers: SpineHeaders;
  /** The status of an answer without a message, for example 503; else 0. */
  readonly code: number;
  readonly description: string;
}

/** Bytes of a block beside its lines. */
export const BLOCK_BYTES = 12;
/** The headers of a message that has none. */
export const NO_HEADERS: SpineHeaders = Object.freeze(Object.create(null));

const NO_BLOCK: HeaderBlock = { headers: NO_HEADERS, code: 0, description: "" };
const VERSION = "NATS/1.0";
const LINE_END = "\r\n";
const BLOCK_END = LINE_END + LINE_END;
const NAME = /^[!-9;-~]*$/;
const decoder = new TextDecoder();

/** Reads the lines from `from` on. */
function readLines(text: string, from: number): SpineHeaders {
  const headers: Record<string, string> = Object.create(null);
  while (from < text.length) {
    const found = text.indexOf(LINE_END, from);
    const end = found < 0 ? text.length : found;
    const colon = text.indexOf(":", from);
    if (colon >= from && colon < end) {
      const name = text.slice(from, colon);
      const value = text.slice(colon + 1, end).trim();
      if (NAME.test(name) && !value.includes("\r") && !value.includes("\n")) {
        headers[name] ??= value;
      }
    }
    from = end + LINE_END.length;
  }
  return headers;
}

/** The header name of a recent block with a single header, and the prefix of such a block. */
let lone_name = "";
let lone_start = "";
const BLANK = 0x20, TILDE = 0x7e;

/** Whether the bytes from `from` to `to` are this ASCII text. */
export function isText(bytes: Uint8Array, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let index = 0; index < text.length; index++) {
    if (bytes[from + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** The headers of a block with only that name and a plain value; undefined for other blocks. */
function readLone(bytes: Uint8Array, from: number, to: number): SpineHeaders | undefined {
  const start = from + lone_start.length;
  const end = to - BLOCK_END.length;
  if (lone_start === "" || start >= end || !isText(bytes, from, start, lone_start)) {
    return undefined;
  }
  if (!isText(bytes, end, to, BLOCK_END)) return undefined;
  if (bytes[start] === BLANK || bytes[end - 1] === BLANK) return undefined;
  for (let at = start; at < end; at++) {
    if (bytes[at]! < BLANK || bytes[at]! > TILDE) return undefined;
  }
  const headers: Record<string, string> = Object.create(null);
  headers[lone_name] = decoder.decode(bytes.subarray(start, end));
  return headers;
}

/** Remembers the name of a block with a single header: most blocks have the same. */
function rememberLone(headers: SpineHeaders): void {
  const names = Object.keys(headers);
  const [name = ""] = names;
  if (names.length !== 1 || name === lone_name) return;
  lone_name = name;
  lone_start = `${VERSION}${LINE_END}${name}: `;
}

/** Reads the block between these bytes. */
export function readHeaders(bytes: Uint8Array, from: number, to: number): HeaderBlock {
  if (from >= to) return NO_BLOCK;
  const lone = readLone(bytes, from, to);
  if (lone !== undefined) return { headers: lone, code: 0, description: "" };
  const text = decoder.decode(bytes.subarray(from, to));
  const [first = ""] = text.split(LINE_END, 1);
  const headers = readLines(text, first.length + LINE_END.length);
  if (first === VERSION) {
    rememberLone(headers);
    return { headers, code: 0, description: "" };
  }
  const { code, description } = MsgHdrsImpl.decode(new TextEncoder().encode(first));
  return { headers, code, description };
}

/** The lines of a block; `headerBytes` counts their bytes, with `BLOCK_BYTES`. */
export function headerLines(headers: SpineHeaders | undefined): string {
  let lines = "";
  for (const name in headers) lines += `${name}: ${headers[name] ?? ""}${LINE_END}`;
  return lines;
}

/** A block of these lines; "" when there are none. */
export function headerBlock(lines: string): string {
  return lines === "" ? "" : `${VERSION}${LINE_END}${lines}${LINE_END}`;
}

/** An answer to a request of JetStream's API. */
export interface Answer extends HeaderBlock {
  /** The payload, a copy. */
  readonly payload: Uint8Array;
}

const NOBODY = 503;

/** Reads an answer. Throws what nats.js throws for bad headers. */
export function readAnswer(
  { bytes, headers_from, payload_from, payload_to }: MessageFrame,
): Answer {
  const { headers, code, description } = readHeaders(bytes, headers_from, payload_from);
  return { headers, code, description, payload: bytes.slice(payload_from, payload_to) };
}

/** True for the empty "no responders" answer of the server. */
export function isNobody({ payload, code }: Pick<Answer, "payload" | "code">): boolean {
  return payload.length === 0 && code === NOBODY;
}

/** As `isNobody`, for a frame. */
export function isFromNobody(frame: MessageFrame): boolean {
  const { bytes, headers_from, payload_from, payload_to } = frame;
  if (payload_from < payload_to || headers_from === payload_from) return false;
  return readHeaders(bytes, headers_from, payload_from).code === NOBODY;
}

/** JetStream's acknowledgement of a message that was published to a stream. */
export interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  /** Number of messages in the batch that this message ended. */
  readonly count?: number;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/** The beginning of the server's (2.15) plain acknowledgement: only the number differs. */
const ackStart = (stream: string) => `{"stream":"${stream}", "seq":`;

/** Reads the acknowledgement in the payload; undefined for any other payload. `stream` is the expected one. */
export function readPubAck(frame: MessageFrame, stream: string): PubAck | undefined {
  const { bytes, payload_from, payload_to } = frame;
  const start = ackStart(stream);
  const from = payload_from + start.length;
  // JSON has no leading zero.
  const seq = bytes[from] === ZERO ? 0 : numberIn(bytes, from, payload_to - 1);
  if (seq > 0 && bytes[payload_to - 1] === 0x7d && isText(bytes, payload_from, from, start)) {
    return { stream, seq };
  }
  try {
    return JSON.parse(decoder.decode(bytes.subarray(payload_from, payload_to)));
  } catch {
    return undefined;
  }
}
