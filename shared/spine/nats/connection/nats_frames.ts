/**
 * Finds the messages in the bytes of a NATS server (`MSG` and `HMSG`) without an object for each: nats.js' own parser
 * costs more than the rest of the message path. Everything else, and messages without a taker here, is passed on
 * unchanged. Pure; the client is `nats_wire.ts`.
 */

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const H = 0x48;
const M = 0x4d;
const S = 0x53;
const G = 0x47;
/** More digits than any size or subscription id has, and still an exact number. */
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
