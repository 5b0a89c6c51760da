/**
 * The one-pass envelope scanner of the message path: bounds-checked, no object tree, strings only
 * for the small routing fields, positions for the rest. Stricter than Protobuf wherever Protobuf
 * merges or skips, so that the Shield and every later reader see the same message.
 */
import { DecodeError } from "../errors/error.ts";
import { type FieldNames, refuseField, seenOnce, wrongType } from "../wire/fields.ts";
import { type PlainEnvelope, readEnvelope } from "./envelope.ts";
import { checkSignal, passText, readAnyName, readSmallText, scanCommand } from "./scan_payload.ts";
import { scanEvent } from "./scan_payload.ts";
import type { ScanLimits, ScannedCommand, ScannedEvent } from "./scan_payload.ts";
import type { SpannedBytes } from "../wire/wire_writer.ts";
import { checkUtf8, decodeUtf8 } from "../wire/utf8.ts";
import { type Uint64, WireReader } from "../wire/wire.ts";

/** The position of the payload field in `ScannedEnvelope.bytes`. */
export interface PayloadSpan {
  readonly kind: "event" | "cmd" | "signal";
  /** The whole field as on the wire: tag, length, body. */
  readonly field_start: number;
  readonly field_end: number;
  /** The embedded message. */
  readonly body_start: number;
  readonly body_end: number;
}

/** The positions of the parts of an envelope. */
export interface EnvelopeSpans {
  /** The scanned bytes, or more; the spans below are positions in it. Not copied. */
  readonly bytes: SpannedBytes;
  /** The size of the envelope alone, which is at the end of `bytes`. */
  readonly size_bytes: number;
  /** Flat: key start, key end, value start, value end, for each header. */
  readonly header_spans: number[];
  /** A view into `bytes`; `undefined` if absent or empty, which are equal in Protobuf. */
  readonly signature: Uint8Array | undefined;
  readonly payload: PayloadSpan;
  readonly event: Readonly<ScannedEvent> | undefined;
  readonly command: Readonly<ScannedCommand> | undefined;
  /** Flat: start, end, for the sender's fields (10 and up), in order, adjacent ones joined. */
  readonly owned_spans: number[];
}

/**
 * The parts of an envelope that routing and policies need, and the positions of the rest. Values may differ from the
 * scanned bytes, because HTTP sets the room and trace of its request. `plainEnvelope` has the effective values.
 */
export interface ScannedEnvelope extends EnvelopeSpans {
  /** "" if absent, as the other texts. */
  readonly trace_id: string;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly message_id: string;
  readonly request_id: Uint64;
  readonly ack_requested: boolean;
}

/** A running scan: the same object, still writable. */
type Draft = { -readonly [Key in keyof ScannedEnvelope]: ScannedEnvelope[Key] };

const ENVELOPE: FieldNames = /* @__PURE__ */ Object.assign([
  "Envelope",
  "trace_id",
  "tenant_id",
  "room_id",
  "timestamp",
  "headers",
  "ack_requested",
  "request_id",
  "sender_id",
  "offset",
  "signature",
  "message_id",
], { 20: "cmd", 21: "event", 22: "signal" });
const HEADER: FieldNames = ["headers entry", "key", "value"];

const NO_PAYLOAD: PayloadSpan = {
  kind: "event",
  field_start: 0,
  field_end: 0,
  body_start: 0,
  body_end: 0,
};
/** Shared by envelopes without any; never written to. */
const NO_SPANS: number[] = [];
const OWNED_FROM = 10;
const FIELD_HEADERS = 5;
const FIELD_PAYLOAD_FROM = 20;

/** Scans do not overlap, so all share one reader. */
const shared_reader = /* @__PURE__ */ new WireReader(new Uint8Array(0));

/**
 * Reads an envelope from `start` to the end of `bytes`, which may be any bytes. Throws only `DecodeError`. Does not
 * validate ids, event types or header names: the pipeline does.
 */
export function scanEnvelope(bytes: Uint8Array, limits: ScanLimits, start = 0): ScannedEnvelope {
  shared_reader.bytes = bytes;
  shared_reader.pos = start;
  shared_reader.end = bytes.length;
  return scanFields(shared_reader, bytes.length - start, limits);
}

function scanFields(reader: WireReader, size_bytes: number, limits: ScanLimits): ScannedEnvelope {
  const scan: Draft = {
    bytes: reader.bytes,
    size_bytes,
    trace_id: "",
    tenant_id: "",
    room_id: "",
    message_id: "",
    request_id: 0,
    ack_requested: false,
    header_spans: NO_SPANS,
    signature: undefined,
    payload: NO_PAYLOAD,
    event: undefined,
    command: undefined,
    owned_spans: NO_SPANS,
  };
  let headers: HeaderScan | undefined;
  let seen = 0;
  while (reader.pos < reader.end) {
    const start = reader.pos;
    const tag = reader.tag();
    const field = tag >>> 3;
    if (field >= FIELD_PAYLOAD_FROM) {
      scanPayload(reader, scan, limits, start, tag);
    } else if (field === FIELD_HEADERS) {
      if (headers === undefined) {
        headers = new HeaderScan(limits);
        scan.header_spans = [];
      }
      headers.next(reader, tag, scan.header_spans);
    } else {
      seen = seenOnce(seen, tag, ENVELOPE);
      scanField(reader, scan, limits, tag);
    }
    if (field >= OWNED_FROM) addSpan(scan, start, reader.pos);
  }
  if (scan.payload === NO_PAYLOAD) throw new DecodeError("payload-count", "this one has none");
  return scan;
}

/** Joins adjacent spans, so that an envelope in field order is copied in one piece. */
function addSpan(scan: Draft, start: number, end: number): void {
  const spans = scan.owned_spans;
  // An array literal is half as large as an array after two pushes.
  if (spans.length === 0) scan.owned_spans = [start, end];
  else if (spans[spans.length - 1] === start) spans[spans.length - 1] = end;
  else spans.push(start, end);
}

/** Fields 1 to 11 without the headers; each case is `field << 3 | wire type`. */
function scanField(reader: WireReader, scan: Draft, limits: ScanLimits, tag: number): void {
  switch (tag) {
    case 0x0a:
      scan.trace_id = readTraceId(reader);
      return;
    case 0x12:
      scan.tenant_id = readAnyName(reader);
      return;
    case 0x1a:
      scan.room_id = readAnyName(reader);
      return;
    case 0x30:
      scan.ack_requested = reader.bool();
      return;
    case 0x38:
      scan.request_id = reader.uint64();
      return;
    case 0x42:
      passText(reader);
      return;
    case 0x20:
    case 0x48:
      reader.uint64();
      return;
    case 0x52: {
      const signature = reader.view();
      if (signature.length > 0) scan.signature = signature;
      return;
    }
    case 0x5a:
      scan.message_id = readSmallText(reader, limits.field_bytes, "message_id");
      return;
    default:
      refuseField(tag, ENVELOPE);
  }
}

/** W3C trace-id: 32 lowercase hex digits, not all zero. */
function readTraceId(reader: WireReader): string {
  const size = reader.length();
  if (size === 0) return "";
  const start = reader.pos;
  reader.pos = start + size;
  let hex = size === 32;
  let nonzero = 0;
  for (let at = start; hex && at < reader.pos; at++) {
    const byte = reader.bytes[at]!;
    hex = (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);
    nonzero |= byte ^ 0x30;
  }
  if (!hex || nonzero === 0) {
    throw new DecodeError("invalid-field", "trace_id is not 32 lowercase hex digits, or all zero");
  }
  return decodeUtf8(reader.bytes, start, reader.pos);
}

function scanPayload(
  reader: WireReader,
  scan: Draft,
  limits: ScanLimits,
  field_start: number,
  tag: number,
): void {
  if (tag !== 0xa2 && tag !== 0xaa && tag !== 0xb2) refuseField(tag, ENVELOPE);
  const kind: PayloadSpan["kind"] = tag === 0xaa ? "event" : tag === 0xa2 ? "cmd" : "signal";
  if (scan.payload !== NO_PAYLOAD) {
    throw new DecodeError("payload-count", `this one has ${scan.payload.kind} and ${kind}`);
  }
  const size = reader.length();
  const body_start = reader.pos;
  const body_end = body_start + size;
  scan.payload = { kind, field_start, field_end: body_end, body_start, body_end };
  const outer_end = reader.end;
  reader.end = body_end;
  switch (kind) {
    case "event":
      scan.event = scanEvent(reader, limits);
      break;
    case "cmd":
      scan.command = scanCommand(reader, limits);
      break;
    case "signal":
      checkSignal(reader);
      break;
    default:
      kind satisfies never;
  }
  reader.end = outer_end;
}

/** Checks the headers of one envelope: number, bytes, and unique names, ignoring case. */
class HeaderScan {
  private readonly limits: ScanLimits;
  private readonly names = new Set<string>();
  private size_bytes = 0;

  constructor(limits: ScanLimits) {
    this.limits = limits;
  }

  /** Reads one map entry, whose tag was just read, and adds its four positions to `spans`. */
  next(reader: WireReader, tag: number, spans: number[]): void {
    if (tag !== 0x2a) throw wrongType(tag, ENVELOPE);
    if (this.names.size >= this.limits.headers) {
      throw new DecodeError("too-many-headers", `at most ${this.limits.headers}`);
    }
    const size = reader.length();
    const outer_end = reader.end;
    reader.end = reader.pos + size;
    let seen = 0, key_start = 0, key_end = 0, value_start = 0, value_end = 0;
    while (reader.pos < reader.end) {
      const entry_tag = reader.tag();
      seen = seenOnce(seen, entry_tag, HEADER);
      if (entry_tag === 0x0a) {
        key_end = reader.length() + reader.pos;
        key_start = reader.pos;
        reader.pos = key_end;
      } else if (entry_tag === 0x12) {
        value_end = reader.length() + reader.pos;
        value_start = reader.pos;
        reader.pos = value_end;
      } else {
        throw new DecodeError("malformed-frame", `${HEADER[0]} with field ${entry_tag >>> 3}`);
      }
    }
    reader.end = outer_end;
    this.add(reader.bytes, key_start, key_end, value_start, value_end);
    spans.push(key_start, key_end, value_start, value_end);
  }

  private add(
    bytes: Uint8Array,
    key_start: number,
    key_end: number,
    value_start: number,
    value_end: number,
  ): void {
    this.size_bytes += key_end - key_start + value_end - value_start;
    if (this.size_bytes > this.limits.header_bytes) {
      throw new DecodeError("too-many-headers", `at most ${this.limits.header_bytes} bytes`);
    }
    const name = decodeUtf8(bytes, key_start, key_end).toLowerCase();
    if (this.names.has(name)) {
      throw new DecodeError("repeated-field", `header ${JSON.stringify(name)}`);
    }
    this.names.add(name);
    checkUtf8(bytes, value_start, value_end);
  }
}

/** The bytes of a scanned envelope, unchanged and not copied. */
export function scannedBytes({ bytes, size_bytes }: ScannedEnvelope): Uint8Array {
  return bytes.subarray(bytes.length - size_bytes, bytes.length);
}

/** The whole scanned envelope as an object, outside the message path, with the values that were set after the scan. */
export function plainEnvelope(scan: ScannedEnvelope): PlainEnvelope {
  const { trace_id, tenant_id, room_id, message_id, request_id, ack_requested } = scan;
  const set = { trace_id, tenant_id, room_id, message_id, request_id, ack_requested };
  return { ...readEnvelope(scannedBytes(scan)), ...set };
}
