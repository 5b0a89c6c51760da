/**
 * The bytes of a mirrored envelope: the routed ones and one more header, without decoding. Protobuf allows the entries
 * of a map anywhere, so the new one is at the end.
 */

const FIELD_HEADERS = 0x2a;
const FIELD_TRACE_ID = 0x0a;
const TRACE_ID_BYTES = 32;

/** The header that marks mirrored traffic, in the envelope and beside it on the Spine. */
export const SHADOW_HEADER = "x-arqon-shadow";

/** Encodes a short text as a field: tag, one byte of length, text. */
function field(tag: number, body: Uint8Array): number[] {
  return [tag, body.length, ...body];
}

const encoder = new TextEncoder();
const ENTRY = new Uint8Array(field(
  FIELD_HEADERS,
  new Uint8Array([
    ...field(0x0a, encoder.encode(SHADOW_HEADER)),
    ...field(0x12, encoder.encode("true")),
  ]),
));

/** A new envelope with the header `x-arqon-shadow: true`. A sender cannot have set that header itself. */
export function shadowEnvelope(routed: Uint8Array): Uint8Array {
  const shadow = new Uint8Array(routed.length + ENTRY.length);
  shadow.set(routed);
  shadow.set(ENTRY, routed.length);
  return shadow;
}

const decoder = new TextDecoder();

/**
 * The trace id of an envelope as the Shield writes it, where it is the first field; undefined for any
 * other envelope.
 */
export function routedTraceId(routed: Uint8Array): string | undefined {
  if (routed[0] !== FIELD_TRACE_ID || routed[1] !== TRACE_ID_BYTES) return undefined;
  return decoder.decode(routed.subarray(2, 2 + TRACE_ID_BYTES));
}
