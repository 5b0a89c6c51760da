/**
 * Replaces the data in an event or command of an envelope; the rest stays unchanged. Signed envelopes are refused,
 * because the signature covers the old data.
 */
import { type FieldNames, skipField } from "../wire/fields.ts";
import { WireReader } from "../wire/wire.ts";
import { putBytes, putVarint, varintSize } from "../wire/wire_writer.ts";
import { type EnvelopeSpans, scanEnvelope, type ScannedEnvelope } from "./scan.ts";
import type { ScanLimits } from "./scan_payload.ts";

/** The tag of `Event.data` and of `Command.data`. */
const TAG_DATA = 0x12;
/** The tags of the two payloads that have data. */
const TAG_EVENT = 0xaa;
const TAG_COMMAND = 0xa2;
const TAG_PAYLOAD_BYTES = 2;
const NO_NAMES: FieldNames = [];

/** The span of the data field in the body, with its tag; an empty span at the body's end without data. */
function dataField({ bytes, payload: { body_start, body_end } }: ScannedEnvelope) {
  const reader = new WireReader(bytes.subarray(0, body_end));
  reader.pos = body_start;
  while (reader.pos < body_end) {
    const start = reader.pos;
    const tag = reader.tag();
    if (tag === TAG_DATA) return { start, end: reader.length() + reader.pos };
    skipField(reader, tag, NO_NAMES);
  }
  return { start: body_end, end: body_end };
}

/** The positions of a scan, without values that may be set after it. */
function spansOf(scan: ScannedEnvelope): EnvelopeSpans {
  const { bytes, size_bytes, header_spans, signature, payload, event, command, owned_spans } = scan;
  return { bytes, size_bytes, header_spans, signature, payload, event, command, owned_spans };
}

/**
 * Replaces the data of an event or a command. It changes the object in place, because others refer to it and the
 * old data must not be used. Throws `TypeError` for a signal, which has no data, and for a signed envelope.
 */
export function replaceData(envelope: ScannedEnvelope, data: Uint8Array, limits: ScanLimits): void {
  if (envelope.payload.kind === "signal") throw new TypeError("a signal has no data");
  if (envelope.signature !== undefined) throw new TypeError("the envelope is signed");
  Object.assign(envelope, spansOf(scanEnvelope(written(envelope, data), limits)));
}

function written(envelope: ScannedEnvelope, data: Uint8Array): Uint8Array {
  const { bytes, size_bytes, payload: { kind, field_start, field_end, body_start, body_end } } =
    envelope;
  const old = dataField(envelope);
  const data_size = data.length === 0 ? 0 : 1 + varintSize(data.length) + data.length;
  const body_size = body_end - body_start - (old.end - old.start) + data_size;
  const field_size = TAG_PAYLOAD_BYTES + varintSize(body_size) + body_size;
  const size = size_bytes - (field_end - field_start) + field_size;
  const out = new Uint8Array(size);
  let at = putBytes(out, 0, bytes, bytes.length - size_bytes, field_start);
  at = putVarint(out, at, kind === "event" ? TAG_EVENT : TAG_COMMAND);
  at = putVarint(out, at, body_size);
  at = putBytes(out, at, bytes, body_start, old.start);
  if (data_size > 0) {
    out[at++] = TAG_DATA;
    at = putVarint(out, at, data.length);
    at = putBytes(out, at, data, 0, data.length);
  }
  at = putBytes(out, at, bytes, old.end, body_end);
  at = putBytes(out, at, bytes, field_end, bytes.length);
  if (at !== size) throw new TypeError(`wrote ${at} of ${size} bytes`);
  return out;
}
