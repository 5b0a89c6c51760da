/**
 * Writes the routed form of a scanned envelope, as a whole MSG frame, in one pass: the Shield's fields, and the
 * sender's fields copied unchanged. The scanner and the pipeline refuse; this does not.
 */
import { Opcode } from "./opcode.ts";
import type { ScannedEnvelope } from "../envelope/scan.ts";
import { putBytes, putVarint, type SpannedBytes, varintSize } from "../wire/wire_writer.ts";
import { putUtf8, utf8Size } from "../wire/utf8.ts";

/** The Shield's values that replace the sender's routing fields. */
export interface Stamp {
  /** 32 lowercase hex digits, or their ASCII bytes. */
  readonly trace_id: string | Uint8Array;
  readonly tenant_id: string;
  readonly room_id: string;
  /** Unix ms, an integer from 0 to 2^53-1. */
  readonly timestamp_ms: number;
  readonly sender_id: string;
  /** For `X-Twist-ID`, unless the sender gave a UUID: text, or its ASCII bytes. */
  readonly twist_id: string | Uint8Array;
  /**
   * Headers added by policies: no reserved names, and unique names, ignoring case. Each replaces the sender's header
   * of the same name.
   */
  readonly added_headers?: readonly (readonly [name: string, value: string])[];
}

type AddedHeaders = NonNullable<Stamp["added_headers"]>;
const NONE_ADDED: AddedHeaders = [];

const TAG_TRACE_ID = 0x0a;
const TAG_TENANT_ID = 0x12;
const TAG_ROOM_ID = 0x1a;
const TAG_TIMESTAMP = 0x20;
const TAG_HEADERS = 0x2a;
const TAG_SENDER_ID = 0x42;
const TAG_KEY = 0x0a;
const TAG_VALUE = 0x12;

/** Header names in lower case, as bytes. */
const TWIST_ID = /* @__PURE__ */ lowerBytes("x-twist-id");
const TIMESTAMP = /* @__PURE__ */ lowerBytes("x-timestamp");
const RESERVED = /* @__PURE__ */ lowerBytes("x-arqon-");
const SHADOW = /* @__PURE__ */ lowerBytes("x-arqon-shadow");
const RECEIPT = /* @__PURE__ */ lowerBytes("x-arqon-receipt");

function lowerBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Whether `bytes[start..end)`, ignoring ASCII case, begins with `name`, or with `whole` equals it. */
function isName(
  bytes: SpannedBytes,
  start: number,
  end: number,
  name: Uint8Array,
  whole: boolean,
): boolean {
  const size = end - start;
  if (size < name.length || (whole && size !== name.length)) return false;
  for (let index = 0; index < name.length; index++) {
    const byte = bytes[start + index]!;
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    if (lower !== name[index]) return false;
  }
  return true;
}

/** 8-4-4-4-12 hex digits, either case, any version. */
function isUuid(bytes: SpannedBytes, start: number, end: number): boolean {
  if (end - start !== 36) return false;
  for (let index = 0; index < 36; index++) {
    const byte = bytes[start + index]!;
    if (index === 8 || index === 13 || index === 18 || index === 23) {
      if (byte !== 0x2d) return false;
    } else {
      const lower = byte | 0x20;
      const hex = (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66);
      if (!hex) return false;
    }
  }
  return true;
}

/** Whether the client sent `x-arqon-shadow`, in any case, which only the Shield may set on mirrored messages. */
export const hasShadowHeader = (scan: ScannedEnvelope): boolean => hasHeader(scan, SHADOW);

/** Whether the client sent `x-arqon-receipt`, in any case: it requests a receipt in the ACK. */
export const hasReceiptHeader = (scan: ScannedEnvelope): boolean => hasHeader(scan, RECEIPT);

function hasHeader(scan: ScannedEnvelope, name: Uint8Array): boolean {
  const spans = scan.header_spans;
  for (let at = 0; at < spans.length; at += 4) {
    if (isName(scan.bytes, spans[at]!, spans[at + 1]!, name, true)) return true;
  }
  return false;
}

type HeaderKind = "kept" | "dropped" | "twist";

function headerKind(bytes: SpannedBytes, start: number, end: number): HeaderKind {
  if (end - start < RESERVED.length || (bytes[start]! | 0x20) !== 0x78) return "kept";
  if (isName(bytes, start, end, TWIST_ID, true)) return "twist";
  if (isName(bytes, start, end, TIMESTAMP, true)) return "dropped";
  return isName(bytes, start, end, RESERVED, false) ? "dropped" : "kept";
}

function bytesFieldSize(size: number): number {
  return 1 + varintSize(size) + size;
}

function putText(
  out: Uint8Array,
  at: number,
  tag: number,
  text: string | Uint8Array,
  size: number,
): number {
  if (size === 0) return at;
  out[at++] = tag;
  at = putVarint(out, at, size);
  return typeof text === "string" ? putUtf8(out, at, text, size) : putBytes(out, at, text, 0, size);
}

/** The number of bytes of a text, or of bytes. */
function textSize(text: string | Uint8Array): number {
  return typeof text === "string" ? utf8Size(text) : text.length;
}

function putSpan(
  out: Uint8Array,
  at: number,
  tag: number,
  bytes: SpannedBytes,
  start: number,
  end: number,
): number {
  out[at++] = tag;
  at = putVarint(out, at, end - start);
  return putBytes(out, at, bytes, start, end);
}

const TWIST_ID_NAME = "X-Twist-ID";
const TIMESTAMP_NAME = "X-Timestamp";

function headerSize(name_size: number, value_size: number): number {
  return bytesFieldSize(bytesFieldSize(name_size) + bytesFieldSize(value_size));
}

/** `name` is ASCII; `size` is the value's in UTF-8. */
function putHeader(
  out: Uint8Array,
  at: number,
  name: string,
  value: string | Uint8Array,
  size: number,
): number {
  out[at++] = TAG_HEADERS;
  at = putVarint(out, at, bytesFieldSize(name.length) + bytesFieldSize(size));
  at = putText(out, at, TAG_KEY, name, name.length);
  out[at++] = TAG_VALUE;
  at = putVarint(out, at, size);
  return typeof value === "string"
    ? putUtf8(out, at, value, size)
    : putBytes(out, at, value, 0, size);
}

/** Position of the client's `X-Twist-ID` in `header_spans` if its value is a UUID, otherwise -1. */
function twistSpan(scan: ScannedEnvelope): number {
  const { bytes, header_spans: spans } = scan;
  for (let at = 0; at < spans.length; at += 4) {
    if (headerKind(bytes, spans[at]!, spans[at + 1]!) !== "twist") continue;
    return isUuid(bytes, spans[at + 2]!, spans[at + 3]!) ? at : -1;
  }
  return -1;
}

const NO_NAMES: Uint8Array[] = [];

/** Names of the added headers in lower case, to find the sender's headers that they replace. */
function addedNames(added: AddedHeaders): Uint8Array[] {
  return added.length === 0 ? NO_NAMES : added.map(([name]) => lowerBytes(name.toLowerCase()));
}

function isKept(bytes: SpannedBytes, start: number, end: number, added: Uint8Array[]): boolean {
  return headerKind(bytes, start, end) === "kept" &&
    !added.some((name) => isName(bytes, start, end, name, true));
}

function keptHeadersSize(scan: ScannedEnvelope, added: Uint8Array[]): number {
  const { bytes, header_spans: spans } = scan;
  let size = 0;
  for (let at = 0; at < spans.length; at += 4) {
    const start = spans[at]!, end = spans[at + 1]!;
    if (!isKept(bytes, start, end, added)) continue;
    size += headerSize(end - start, spans[at + 3]! - spans[at + 2]!);
  }
  return size;
}

function putKeptHeaders(
  out: Uint8Array,
  at: number,
  scan: ScannedEnvelope,
  added: Uint8Array[],
): number {
  const { bytes, header_spans: spans } = scan;
  for (let index = 0; index < spans.length; index += 4) {
    const start = spans[index]!, end = spans[index + 1]!;
    if (!isKept(bytes, start, end, added)) continue;
    const value_start = spans[index + 2]!, value_end = spans[index + 3]!;
    out[at++] = TAG_HEADERS;
    at = putVarint(out, at, bytesFieldSize(end - start) + bytesFieldSize(value_end - value_start));
    at = putSpan(out, at, TAG_KEY, bytes, start, end);
    at = putSpan(out, at, TAG_VALUE, bytes, value_start, value_end);
  }
  return at;
}

function addedSize(added: AddedHeaders): number {
  let size = 0;
  for (const [name, value] of added) size += headerSize(utf8Size(name), utf8Size(value));
  return size;
}

function ownedSize(spans: readonly number[]): number {
  let size = 0;
  for (let at = 0; at < spans.length; at += 2) size += spans[at + 1]! - spans[at]!;
  return size;
}

function textFieldSize(size: number): number {
  return size === 0 ? 0 : bytesFieldSize(size);
}

/** A buffer for frames. */
export interface FrameSpace {
  /** The bytes of the last reservation. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Reserves this many bytes in `bytes` exclusively; returns their start. */
  reserve(size_bytes: number): number;
}

/** A new buffer for each frame. */
export class OwnBuffers implements FrameSpace {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  reserve(size_bytes: number): number {
    this.bytes = new Uint8Array(size_bytes);
    return 0;
  }
}

/**
 * Writes the MSG frame for every receiver, and returns the routed envelope in it; the byte before it is the opcode.
 * Drops the sender's `ack_requested`, `request_id`, `offset`, every field of `stamp`, and the headers `x-arqon-*` and
 * `X-Timestamp`. `X-Twist-ID` is kept if it is a UUID.
 */
export function stampRouted(
  scan: ScannedEnvelope,
  stamp: Stamp,
  space: FrameSpace,
): Uint8Array<ArrayBuffer> {
  const { bytes, owned_spans: owned } = scan;
  const trace_size = textSize(stamp.trace_id);
  const tenant_size = utf8Size(stamp.tenant_id);
  const room_size = utf8Size(stamp.room_id);
  const sender_size = utf8Size(stamp.sender_id);
  const timestamp = String(stamp.timestamp_ms);
  const added = stamp.added_headers ?? NONE_ADDED;
  const replaced = addedNames(added);
  const twist_at = twistSpan(scan);
  const twist_size = twist_at < 0 ? textSize(stamp.twist_id) : 36;

  const size = 1 + textFieldSize(trace_size) + textFieldSize(tenant_size) +
    textFieldSize(room_size) + textFieldSize(sender_size) +
    1 + varintSize(stamp.timestamp_ms, "timestamp") +
    headerSize(TWIST_ID_NAME.length, twist_size) +
    headerSize(TIMESTAMP_NAME.length, timestamp.length) +
    keptHeadersSize(scan, replaced) + addedSize(added) + ownedSize(owned);

  const start = space.reserve(size);
  const out = space.bytes;
  out[start] = Opcode.MSG;
  let at = putText(out, start + 1, TAG_TRACE_ID, stamp.trace_id, trace_size);
  at = putText(out, at, TAG_TENANT_ID, stamp.tenant_id, tenant_size);
  at = putText(out, at, TAG_ROOM_ID, stamp.room_id, room_size);
  out[at++] = TAG_TIMESTAMP;
  at = putVarint(out, at, stamp.timestamp_ms);
  if (twist_at < 0) {
    at = putHeader(out, at, TWIST_ID_NAME, stamp.twist_id, twist_size);
  } else {
    at = putTwist(out, at, bytes, scan.header_spans[twist_at + 2]!);
  }
  at = putHeader(out, at, TIMESTAMP_NAME, timestamp, timestamp.length);
  at = putKeptHeaders(out, at, scan, replaced);
  for (const [name, value] of added) at = putHeader(out, at, name, value, utf8Size(value));
  at = putText(out, at, TAG_SENDER_ID, stamp.sender_id, sender_size);
  for (let index = 0; index < owned.length; index += 2) {
    at = putOwned(out, at, bytes, owned[index]!, owned[index + 1]!);
  }
  if (at !== start + size) throw new TypeError(`stamped ${at - start} of ${size} bytes`);
  return out.subarray(start + 1, at);
}

/** As `putBytes`, without a view if `out` is a whole buffer that also contains the bytes. */
function putOwned(
  out: Uint8Array,
  at: number,
  bytes: SpannedBytes,
  start: number,
  end: number,
): number {
  const { buffer } = out;
  if (bytes.buffer !== buffer || out.length !== buffer.byteLength) {
    return putBytes(out, at, bytes, start, end);
  }
  out.copyWithin(at, bytes.byteOffset + start, bytes.byteOffset + end);
  return at + end - start;
}

/** Writes the client's UUID under the canonical header name. */
function putTwist(out: Uint8Array, at: number, bytes: SpannedBytes, uuid_start: number): number {
  out[at++] = TAG_HEADERS;
  at = putVarint(out, at, bytesFieldSize(TWIST_ID_NAME.length) + bytesFieldSize(36));
  at = putText(out, at, TAG_KEY, TWIST_ID_NAME, TWIST_ID_NAME.length);
  return putSpan(out, at, TAG_VALUE, bytes, uuid_start, uuid_start + 36);
}
