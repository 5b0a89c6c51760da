/**
 * Reads a client's WebSocket frames (RFC 6455, 5) from chunks of bytes, cut anywhere: a state machine without a socket,
 * a clock or a queue. It checks everything that the RFC requires of a server, limits a message while it arrives, and
 * stops if its sink wants a pause. The sink handles messages.
 */
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  CONTROL_BYTES_MAX,
  isCloseCode,
  lengthOfHead,
  PING,
  PONG,
  TEXT,
  wordAt,
} from "./frame_head.ts";
import { passing_messages, PIECE_BYTES } from "../../shared/containers/byte_arena.ts";

/** The content of frames. Functions must not throw. */
export interface FrameSink {
  /**
   * A complete message; its bytes are the sink's own, but may lie in a buffer with others (`owned`). `compressed`: by
   * RFC 7692.
   */
  message(
    opcode: typeof TEXT | typeof BINARY,
    body: Uint8Array<ArrayBuffer>,
    compressed: boolean,
  ): void;
  /** A ping; the body is the sink's own. */
  ping(body: Uint8Array<ArrayBuffer>): void;
  pong(): void;
  /** The peer's close frame; 1005 if it has no code. Nothing follows. */
  closed(code: number): void;
  /** The peer violated the protocol: the close code for it. Nothing follows. */
  failed(code: number, problem: string): void;
  /** Checked after each frame: whether the rest waits for the next call of `read`. */
  readonly pauses: boolean;
}

const PROTOCOL_ERROR = 1002, INVALID_DATA = 1007, TOO_BIG = 1009;
/** The close code when a close frame has none. */
const NO_CODE = 1005;
const FIN = 0x80, RSV1 = 0x40, RSV = 0x70, MASKED = 0x80;
/** The longest head: opcode, lengths of 64 bits, mask. */
const HEAD_BYTES_MAX = 14;
/** The bytes of a block; long messages are kept in blocks until they are complete. */
const BLOCK_BYTES = 65_536;
/** The most empty frames of one message: a message of only empty frames would never end. */
const EMPTY_FRAGMENTS_MAX = 1_000;
const NOTHING = new Uint8Array(0);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of UTF-8, including a byte order mark; undefined if the bytes are invalid. */
export function decodeText(body: Uint8Array): string | undefined {
  try {
    return utf8.decode(body);
  } catch {
    return undefined;
  }
}

/** The reader of one connection. Its sink must not call it. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #max_message_bytes: number;
  readonly #deflate: boolean;
  /** The beginning of a head that a chunk ended in. */
  #head: Uint8Array<ArrayBuffer> | undefined;
  #head_bytes = 0;
  /** The opcode of the current frame; -1 between frames. */
  #opcode = -1;
  #fin = false;
  #left_bytes = 0;
  #mask = 0;
  /** The type of the partial message: TEXT, BINARY, or CONTINUATION for none. */
  #message = CONTINUATION;
  #compressed = false;
  #empty_fragments = 0;
  /** Decodes a text's fragments as they arrive: the first invalid one ends it. */
  #text: TextDecoder | undefined;
  /** The decoder's progress: whole blocks, and bytes of the next block. */
  #checked_blocks = 0;
  #checked_bytes = 0;
  /** The body of the partial message: full blocks, and the one that is being filled. */
  #full: Uint8Array<ArrayBuffer>[] | undefined;
  #block: Uint8Array<ArrayBuffer> | undefined;
  #block_bytes = 0;
  #body_bytes = 0;
  #control: Uint8Array<ArrayBuffer> | undefined;
  #ended = false;
  /** The end of the current chunk's bytes. */
  #chunk_end = 0;

  /**
   * A message of more than `max_message_bytes` fails with 1009 as soon as its length is known. `deflate`: compression
   * was negotiated; the limit is for compressed bytes.
   */
  constructor(sink: FrameSink, max_message_bytes: number, deflate: boolean) {
    this.#sink = sink;
    this.#max_message_bytes = max_message_bytes;
    this.#deflate = deflate;
  }

  /** True once the peer has closed or failed: further bytes are ignored. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Received bytes of a partial message or head. */
  get unfinished_bytes(): number {
    return this.#body_bytes + this.#head_bytes;
  }

  /**
   * Reads the chunk from `start` to `end`, or until the sink pauses or the reader has ended. Returns the position where
   * it stopped. The caller may reuse the chunk.
   */
  read(chunk: Uint8Array<ArrayBuffer>, start = 0, end: number = chunk.length): number {
    this.#chunk_end = end;
    let at = start;
    while (at < this.#chunk_end && !this.#ended) {
      if (this.#opcode < 0) {
        at = this.#readHead(chunk, at);
        if (this.#opcode < 0 || this.#ended) continue;
        if (this.#left_bytes > 0 && at === this.#chunk_end) break;
      }
      at = this.#opcode < CLOSE ? this.#readData(chunk, at) : this.#readControl(chunk, at);
      if (this.#opcode < 0 && this.#sink.pauses) return at;
    }
    return this.#ended ? this.#chunk_end : at;
  }

  /** Reads the available part of a head; then `#opcode` is set, or the part is kept for the next chunk. */
  #readHead(chunk: Uint8Array<ArrayBuffer>, start: number): number {
    let at = start;
    let head: Uint8Array = chunk;
    let from = start;
    if (this.#head_bytes > 0 || this.#chunk_end - start < HEAD_BYTES_MAX) {
      // The head may be cut by the chunk's end, so it is kept byte by byte until it is complete.
      const kept = this.#head ??= new Uint8Array(HEAD_BYTES_MAX);
      while (this.#head_bytes < 2 || this.#head_bytes < lengthOfHead(kept[1] as number)) {
        if (at === this.#chunk_end) return at;
        kept[this.#head_bytes++] = chunk[at++] as number;
      }
      head = kept;
      from = 0;
      this.#head_bytes = 0;
    } else {
      at += lengthOfHead(chunk[start + 1] as number);
    }
    this.#begin(head, from);
    this.#head = undefined;
    return at;
  }

  #begin(head: Uint8Array, from: number): void {
    const first = head[from] as number;
    const second = head[from + 1] as number;
    const opcode = first & 0xf;
    const fin = (first & FIN) !== 0;
    const problem = this.#problemOf(opcode, fin, first & RSV, (second & MASKED) !== 0);
    if (problem !== undefined) return this.#fail(PROTOCOL_ERROR, problem);
    const short = second & 0x7f;
    let length = short;
    let at = from + 2;
    if (short === 126) {
      length = (head[at] as number) * 256 + (head[at + 1] as number);
      at += 2;
      if (length < 126) return this.#fail(PROTOCOL_ERROR, "a length in more bytes than it needs");
    } else if (short === 127) {
      const upper = wordAt(head, at);
      length = upper * 2 ** 32 + wordAt(head, at + 4);
      at += 8;
      if (upper >= 2 ** 31) return this.#fail(PROTOCOL_ERROR, "a length of more than 63 bits");
      if (length <= 0xffff) {
        return this.#fail(PROTOCOL_ERROR, "a length in more bytes than it needs");
      }
    }
    if (opcode >= CLOSE && length > CONTROL_BYTES_MAX) {
      return this.#fail(PROTOCOL_ERROR, "a control frame of more than 125 bytes");
    }
    if (opcode < CLOSE) {
      if (this.#body_bytes + length > this.#max_message_bytes) {
        return this.#fail(TOO_BIG, `a message of more than ${this.#max_message_bytes} bytes`);
      }
      if (opcode !== CONTINUATION) {
        this.#message = opcode;
        this.#compressed = (first & RSV1) !== 0;
      }
      if (length === 0 && !fin && ++this.#empty_fragments > EMPTY_FRAGMENTS_MAX) {
        return this.#fail(PROTOCOL_ERROR, "a message of empty frames");
      }
    }
    this.#mask = wordAt(head, at);
    this.#opcode = opcode;
    this.#fin = fin;
    this.#left_bytes = length;
  }

  #problemOf(opcode: number, fin: boolean, reserved: number, masked: boolean): string | undefined {
    if (!masked) return "a frame that is not masked";
    const compressed = reserved === RSV1 && this.#deflate &&
      (opcode === TEXT || opcode === BINARY);
    if (reserved !== 0 && !compressed) return "a reserved bit is set";
    if (opcode === TEXT || opcode === BINARY) {
      return this.#message === CONTINUATION ? undefined : "a new message within a message";
    }
    if (opcode === CONTINUATION) {
      return this.#message === CONTINUATION ? "a continuation of nothing" : undefined;
    }
    if (opcode !== CLOSE && opcode !== PING && opcode !== PONG) return `opcode ${opcode}`;
    return fin ? undefined : "a control frame in fragments";
  }

  #readData(chunk: Uint8Array<ArrayBuffer>, start: number): number {
    const end = Math.min(this.#chunk_end, start + this.#left_bytes);
    for (let at = start; at < end;) {
      const block = this.#blockWithRoom(end - start);
      const take = Math.min(end - at, block.length - this.#block_bytes);
      this.#mask = copyUnmasked(block, this.#block_bytes, chunk, at, take, this.#mask);
      this.#block_bytes += take;
      this.#body_bytes += take;
      this.#left_bytes -= take;
      at += take;
    }
    if (this.#left_bytes > 0) return end;
    this.#opcode = -1;
    if (this.#fin) this.#endMessage();
    else if (this.#message === TEXT && !this.#compressed) this.#checkFragment();
    return end;
  }

  /**
   * The block to write to, given the received bytes of the frame. Never more than one block is allocated ahead: a
   * declared length costs nothing.
   */
  #blockWithRoom(come_bytes: number): Uint8Array<ArrayBuffer> {
    const block = this.#block;
    if (block !== undefined && this.#block_bytes < block.length) return block;
    if (block !== undefined) (this.#full ??= []).push(block);
    this.#block_bytes = 0;
    // Most messages are one short frame that arrives at once, and are used in place. A partial message may stay for
    // long, and would retain the whole shared buffer, so it is copied.
    const rest = this.#fin ? this.#left_bytes : BLOCK_BYTES;
    if (this.#fin && rest <= come_bytes && rest <= PIECE_BYTES) {
      const from = passing_messages.reserve(rest);
      return this.#block = passing_messages.bytes.subarray(from, from + rest);
    }
    return this.#block = new Uint8Array(Math.min(rest, BLOCK_BYTES));
  }

  #wholeBody(): Uint8Array<ArrayBuffer> {
    const last = this.#block ?? NOTHING;
    if (this.#full === undefined && last.length === this.#body_bytes && last !== NOTHING) {
      return last;
    }
    const whole = new Uint8Array(this.#body_bytes);
    let at = 0;
    for (const block of this.#full ?? []) {
      whole.set(block, at);
      at += block.length;
    }
    whole.set(last.subarray(0, this.#block_bytes), at);
    return whole;
  }

  /** Fails at once when a fragment can no longer become text (RFC 6455, 8.1). */
  #checkFragment(): void {
    this.#text ??= new TextDecoder("utf-8", { fatal: true });
    try {
      for (const block of this.#full?.slice(this.#checked_blocks) ?? []) {
        this.#text.decode(block.subarray(this.#checked_bytes), { stream: true });
        this.#checked_bytes = 0;
      }
      const last = this.#block?.subarray(this.#checked_bytes, this.#block_bytes) ?? NOTHING;
      this.#text.decode(last, { stream: true });
      this.#checked_blocks = this.#full?.length ?? 0;
      this.#checked_bytes = this.#block_bytes;
    } catch {
      this.#fail(INVALID_DATA, "text that is not UTF-8");
    }
  }

  #endMessage(): void {
    const opcode = this.#message as typeof TEXT | typeof BINARY;
    const compressed = this.#compressed;
    const whole = this.#wholeBody();
    this.#message = CONTINUATION;
    this.#empty_fragments = this.#checked_blocks = this.#checked_bytes = 0;
    this.#text = undefined;
    this.#block = this.#full = undefined;
    this.#body_bytes = this.#block_bytes = 0;
    this.#sink.message(opcode, whole, compressed);
  }

  #readControl(chunk: Uint8Array<ArrayBuffer>, start: number): number {
    const have = this.#control?.length ?? 0;
    const take = Math.min(this.#left_bytes, this.#chunk_end - start);
    const end = start + take;
    const control = new Uint8Array(have + take);
    if (this.#control !== undefined) control.set(this.#control);
    control.set(chunk.subarray(start, end), have);
    this.#mask = unmask(control, have, have + take, this.#mask);
    this.#left_bytes -= take;
    if (this.#left_bytes > 0) {
      this.#control = control;
      return end;
    }
    const opcode = this.#opcode;
    this.#opcode = -1;
    this.#control = undefined;
    if (opcode === PING) this.#sink.ping(control);
    else if (opcode === PONG) this.#sink.pong();
    else this.#close(control);
    return end;
  }

  #close(body: Uint8Array): void {
    if (body.length === 1) return this.#fail(PROTOCOL_ERROR, "a close code of one byte");
    const code = body.length === 0 ? NO_CODE : (body[0] as number) * 256 + (body[1] as number);
    if (code !== NO_CODE && !isCloseCode(code) || body.length > 0 && code === NO_CODE) {
      return this.#fail(PROTOCOL_ERROR, `close code ${code}`);
    }
    if (decodeText(body.subarray(2)) === undefined) {
      return this.#fail(INVALID_DATA, "a close reason that is not UTF-8");
    }
    this.end();
    this.#sink.closed(code);
  }

  #fail(code: number, problem: string): void {
    this.end();
    this.#sink.failed(code, problem);
  }

  /** Ends the reading: later bytes are ignored. */
  end(): void {
    this.#ended = true;
    this.#block =
      this.#full =
      this.#control =
      this.#head =
        undefined;
    this.#body_bytes = this.#block_bytes = this.#head_bytes = 0;
  }
}

/** The least bytes for which a loop over words is faster than one over bytes. */
const WORDS_FROM_BYTES = 48;

/** The words of the last unmasked buffer: consecutive messages are in the same one. */
let buffer: ArrayBuffer | undefined;
let words = new Uint32Array(0);

function wordsOf(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  if (bytes.buffer !== buffer) {
    buffer = bytes.buffer;
    words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }
  return words;
}

/** The most bytes for which a loop is faster than the engine's copy, which needs a view. */
const LOOP_BYTES_MAX = 1_024;

/** The last copied buffer, for reading words at any offset in it. */
let copied: ArrayBuffer | undefined;
let anywhere = new DataView(new ArrayBuffer(0));

function anywhereIn(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  if (bytes.buffer !== copied) {
    copied = bytes.buffer;
    anywhere = new DataView(copied);
  }
  return anywhere;
}

/**
 * Copies bytes from `source` at `from` to `target` at `start`, and unmasks them; returns the mask of the following
 * byte.
 */
export function copyUnmasked(
  target: Uint8Array<ArrayBuffer>,
  start: number,
  source: Uint8Array<ArrayBuffer>,
  from: number,
  count: number,
  mask: number,
): number {
  const end = start + count;
  if (count > LOOP_BYTES_MAX) {
    target.set(source.subarray(from, from + count), start);
    return unmask(target, start, end, mask);
  }
  const distance = from - start;
  let at = start;
  let turned = mask;
  if (count >= WORDS_FROM_BYTES) {
    while ((target.byteOffset + at & 3) !== 0) {
      target[at] = (source[at + distance] as number) ^ (turned >>> 24);
      turned = turned << 8 | turned >>> 24;
      at++;
    }
    const all = wordsOf(target);
    const view = anywhereIn(source);
    const word = swapped(turned);
    const first = target.byteOffset + at >>> 2;
    const last = first + (end - at >>> 2);
    let place = source.byteOffset + at + distance;
    for (let index = first; index < last; index++, place += 4) {
      all[index] = view.getInt32(place, true) ^ word;
    }
    at += 4 * (last - first);
  }
  for (; at < end; at++) {
    target[at] = (source[at + distance] as number) ^ (turned >>> 24);
    turned = turned << 8 | turned >>> 24;
  }
  return turned >>> 0;
}

/** Unmasks from `start` to `end`; returns the mask of the following byte. */
export function unmask(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
  mask: number,
): number {
  let at = start;
  let turned = mask;
  if (end - start >= WORDS_FROM_BYTES) {
    // Words are aligned to multiples of four, in the machine's byte order: little-endian.
    while ((bytes.byteOffset + at & 3) !== 0) {
      bytes[at] = (bytes[at] as number) ^ (turned >>> 24);
      turned = turned << 8 | turned >>> 24;
      at++;
    }
    const all = wordsOf(bytes);
    const word = swapped(turned);
    const first = bytes.byteOffset + at >>> 2;
    const last = first + (end - at >>> 2);
    for (let index = first; index < last; index++) all[index] = (all[index] as number) ^ word;
    at += 4 * (last - first);
  }
  for (; at < end; at++) {
    bytes[at] = (bytes[at] as number) ^ (turned >>> 24);
    turned = turned << 8 | turned >>> 24;
  }
  return turned >>> 0;
}

/** The word with reversed byte order. */
function swapped(word: number): number {
  return (word >>> 24 | (word >>> 8 & 0xff00) | (word & 0xff00) << 8 | word << 24) >>> 0;
}
