/** Binary frames in both directions: one opcode byte, then the body. `text.ts` is the text form. */
import { readAck, readRefresh, readSubscribe, readUnsubscribe, readWelcome } from "./control.ts";
import type { Ack, Refresh, Subscribe, Unsubscribe, Welcome } from "./control.ts";
import { DecodeError } from "../errors/error.ts";
import { type PlainEnvelope, readRouted } from "../envelope/envelope.ts";
import { Opcode } from "./opcode.ts";
import { scanEnvelope, type ScannedEnvelope } from "../envelope/scan.ts";
import type { ScanLimits } from "../envelope/scan_payload.ts";
import { decodeUtf8, putUtf8, utf8Size } from "../wire/utf8.ts";
import { type Uint64, WireReader } from "../wire/wire.ts";
import { putVarint, varintSize } from "../wire/wire_writer.ts";
import { PING_BYTES, WIRE_VARINT } from "../wire/wire_numbers.ts";

/** A refusal without a request: the content of an ERR. */
export interface Refusal {
  /** The HTTP code, 400 to 599. */
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  /** The wait before a retry, in ms; 0: none. */
  readonly retry_after_ms: number;
  /** The room of the refusal; "": it is about the connection, or an unreadable frame. */
  readonly room_id: string;
  /** The refused or ended action in that room: a `RefusedAction`, or one of a newer Shield. */
  readonly action: string;
}

/** A client's operation, the same from binary and text frames. Byte fields are views. */
export type ClientOperation =
  | { readonly kind: "publish"; readonly envelope: ScannedEnvelope }
  | { readonly kind: "subscribe"; readonly subscribe: Subscribe }
  | { readonly kind: "unsubscribe"; readonly unsubscribe: Unsubscribe }
  | { readonly kind: "refresh"; readonly refresh: Refresh }
  | { readonly kind: "ping" | "pong"; readonly body: Uint8Array };

/** A Shield's frame. Byte fields are views into the frame. */
export type ServerFrame =
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  | { readonly kind: "msg"; readonly envelope: PlainEnvelope }
  | { readonly kind: "batch"; readonly envelopes: PlainEnvelope[] }
  | { readonly kind: "ack"; readonly ack: Ack }
  | { readonly kind: "err" } & Refusal
  | { readonly kind: "ping" | "pong"; readonly body: Uint8Array };

/** `what` is an explanation for the error's text. */
function unknownOpcode(opcode: number, what = ""): DecodeError {
  return new DecodeError("unknown-opcode", `0x${opcode.toString(16).padStart(2, "0")}${what}`);
}

function pingBody(frame: Uint8Array): Uint8Array {
  const body = frame.subarray(1);
  if (body.length > PING_BYTES) {
    throw new DecodeError("malformed-frame", `${body.length} ping bytes, at most ${PING_BYTES}`);
  }
  return body;
}

/** The field of the request id by opcode; an opcode without one has no requests. */
const FIELDS: Readonly<Partial<Record<number, number>>> = {
  [Opcode.PUB]: 7,
  [Opcode.SUB]: 2,
  [Opcode.UNSUB]: 2,
  [Opcode.REFRESH]: 2,
};

/**
 * The request id of a frame that cannot be decoded, so that the refusal answers that request; undefined for none, 0, or
 * several. Reads top-level fields only, up to the first byte that is not Protobuf.
 */
export function requestIdOf(frame: Uint8Array): Uint64 | undefined {
  const field = FIELDS[frame[0] ?? 0];
  if (field === undefined) return undefined;
  const reader = new WireReader(frame);
  reader.pos = 1;
  let found: Uint64 = 0;
  try {
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if (tag !== (field << 3 | WIRE_VARINT)) {
        reader.skip(tag);
        continue;
      }
      const id = reader.uint64();
      if (found !== 0) return undefined;
      found = id;
    }
  } catch {
    // The fields before the invalid byte count.
  }
  return found === 0 ? undefined : found;
}

/** Reads a client's frame from any bytes. Throws only `DecodeError`, with the request id if it is readable. */
export function decodeClientFrame(bytes: Uint8Array, limits: ScanLimits): ClientOperation {
  try {
    return readClientFrame(bytes, limits);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DecodeError(error.reason, error.detail, requestIdOf(bytes));
  }
}

function readClientFrame(bytes: Uint8Array, limits: ScanLimits): ClientOperation {
  if (bytes.length === 0) throw new DecodeError("malformed-frame", "no opcode byte");
  const opcode: Opcode = bytes[0]!;
  switch (opcode) {
    case Opcode.PUB:
      return { kind: "publish", envelope: scanEnvelope(bytes, limits, 1) };
    case Opcode.SUB:
      return { kind: "subscribe", subscribe: readSubscribe(bytes.subarray(1)) };
    case Opcode.UNSUB:
      return { kind: "unsubscribe", unsubscribe: readUnsubscribe(bytes.subarray(1)) };
    case Opcode.REFRESH:
      return { kind: "refresh", refresh: readRefresh(bytes.subarray(1)) };
    case Opcode.PING:
      return { kind: "ping", body: pingBody(bytes) };
    case Opcode.PONG:
      return { kind: "pong", body: pingBody(bytes) };
    case Opcode.WELCOME:
    case Opcode.MSG:
    case Opcode.BATCH:
    case Opcode.ACK:
    case Opcode.ERR:
      // A specific text helps authors of hand-written clients.
      throw unknownOpcode(opcode, `: a Shield takes no ${Opcode[opcode]}`);
    default:
      // Any other byte is no opcode.
      throw unknownOpcode(opcode satisfies never);
  }
}

/** Reads a Shield's frame, envelopes by `readRouted`. Throws only `DecodeError`. */
export function decodeServerFrame(bytes: Uint8Array): ServerFrame {
  if (bytes.length === 0) throw new DecodeError("malformed-frame", "no opcode byte");
  const opcode: Opcode = bytes[0]!;
  switch (opcode) {
    case Opcode.WELCOME:
      return { kind: "welcome", welcome: readWelcome(bytes.subarray(1)) };
    case Opcode.MSG:
      return { kind: "msg", envelope: readRouted(bytes.subarray(1)) };
    case Opcode.BATCH:
      return { kind: "batch", envelopes: readBatch(bytes.subarray(1)) };
    case Opcode.ACK:
      return { kind: "ack", ack: readAck(bytes.subarray(1)) };
    case Opcode.ERR:
      return { kind: "err", ...readErr(bytes) };
    case Opcode.PING:
      return { kind: "ping", body: pingBody(bytes) };
    case Opcode.PONG:
      return { kind: "pong", body: pingBody(bytes) };
    case Opcode.PUB:
    case Opcode.SUB:
    case Opcode.UNSUB:
    case Opcode.REFRESH:
      break;
    default:
      // Any other byte is no opcode.
      opcode satisfies never;
  }
  throw unknownOpcode(opcode);
}

/** The message is every line except the last one; a single line is the message. */
function readErr(bytes: Uint8Array): Refusal {
  if (bytes.length < 3) throw new DecodeError("malformed-frame", "ERR without a code");
  const text = decodeUtf8(bytes, 3, bytes.length);
  const at = text.lastIndexOf("\n");
  const message = at < 0 ? text : text.slice(0, at);
  return { code: bytes[1]! << 8 | bytes[2]!, message, ...readAbout(text.slice(at + 1), at < 0) };
}

/** The last line of an ERR. Unknown members are skipped. */
function readAbout(line: string, is_absent: boolean): Omit<Refusal, "code" | "message"> {
  let about: Record<string, unknown> = {};
  try {
    if (!is_absent) about = line.startsWith("{") ? JSON.parse(line) : undefined;
    const { reason = "", retry_after_ms = 0, room = "", action = "" } = about;
    if (
      typeof reason === "string" && typeof room === "string" && typeof action === "string" &&
      typeof retry_after_ms === "number" && retry_after_ms >>> 0 === retry_after_ms
    ) return { reason, retry_after_ms, room_id: room, action };
  } catch {
    // Not JSON: refused below.
  }
  throw new DecodeError("malformed-frame", "ERR with an unreadable last line");
}

function readBatch(bytes: Uint8Array): PlainEnvelope[] {
  const reader = new WireReader(bytes);
  const envelopes: PlainEnvelope[] = [];
  while (reader.pos < reader.end) envelopes.push(readRouted(reader.view()));
  return envelopes;
}

function withOpcode(opcode: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(body.length + 1);
  frame[0] = opcode;
  frame.set(body, 1);
  return frame;
}

/**
 * The code, big-endian, then the message in UTF-8, then a line with the other members in text form. Absent members
 * are 0 or "".
 */
export function encodeErr(refusal: Partial<Refusal>): Uint8Array<ArrayBuffer> {
  const { code = 0, message = "", reason, retry_after_ms, room_id, action } = refusal;
  const about = { reason, retry_after_ms, room: room_id, action };
  const text = `${message}\n${JSON.stringify(about, (_, value) => value || undefined)}`;
  const size = utf8Size(text);
  const frame = new Uint8Array(3 + size);
  frame[0] = Opcode.ERR;
  frame[1] = code >>> 8;
  frame[2] = code & 0xff;
  putUtf8(frame, 3, text, size);
  return frame;
}

/** `body` has at most `PING_BYTES`, default none; the peer refuses more. */
export function encodePing(body: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
  return withOpcode(Opcode.PING, body);
}

/** Echoes the `body` of a PING, at most `PING_BYTES`. */
export function encodePong(body: Uint8Array): Uint8Array<ArrayBuffer> {
  return withOpcode(Opcode.PONG, body);
}

/** For a complete envelope; the message path has `stampRouted`. */
export function encodeMsg(envelope: Uint8Array): Uint8Array<ArrayBuffer> {
  return withOpcode(Opcode.MSG, envelope);
}

/**
 * As `encodeMsg`, but without a copy if the opcode already precedes the envelope, as the stamper leaves it. The
 * envelope's buffer must not be written to afterwards.
 */
export function msgFrame(envelope: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = envelope;
  if (byteOffset > 0 && buffer instanceof ArrayBuffer) {
    const frame = new Uint8Array(buffer, byteOffset - 1, length + 1);
    if (frame[0] === Opcode.MSG) return frame;
  }
  return encodeMsg(envelope);
}

/** Several envelopes in one frame, each after its length; only for clients that requested it. */
export function encodeBatch(envelopes: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 1;
  for (const { length } of envelopes) size += varintSize(length) + length;
  const frame = new Uint8Array(size);
  frame[0] = Opcode.BATCH;
  let at = 1;
  for (const envelope of envelopes) {
    at = putVarint(frame, at, envelope.length);
    frame.set(envelope, at);
    at += envelope.length;
  }
  return frame;
}

/** `envelope` is the output of `writeEnvelope`. */
export function encodePub(envelope: Uint8Array): Uint8Array<ArrayBuffer> {
  return withOpcode(Opcode.PUB, envelope);
}
