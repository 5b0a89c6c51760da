/**
 * What no bus can decode, whatever its limits are, refused before it is sent: the program learns at once which field
 * it is. Everything else is the bus's to refuse.
 */
import { ArqonError } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";

/** The greatest values of `[limits]` `field_bytes`, `headers` and `header_bytes`. */
const TEXT_BYTES_MAX = 65_536;
const HEADERS_MAX = 1_024;
const HEADER_BYTES_MAX = 1_048_576;
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** Throws `invalid-field`, `too-many-headers` or `repeated-field`. */
export function checkOutgoing(envelope: EnvelopeInput): void {
  const { trace_id = "", message_id = "", headers, event, command } = envelope;
  if (trace_id !== "" && !TRACE_ID.test(trace_id)) {
    const shown = JSON.stringify(trace_id.slice(0, 100));
    throw new ArqonError(
      "invalid-field",
      `trace_id ${shown}: 32 lowercase hex digits, not all zero`,
    );
  }
  const { data: _, ...payload } = { ...event, ...command } as Record<string, unknown>;
  for (const [name, text] of Object.entries({ message_id, ...payload })) {
    // A UTF-16 unit has at most three bytes.
    if (typeof text !== "string" || 3 * text.length <= TEXT_BYTES_MAX) continue;
    if (text.length > TEXT_BYTES_MAX || bytesOf(text) > TEXT_BYTES_MAX) {
      throw new ArqonError("invalid-field", `${name}: more than ${TEXT_BYTES_MAX} bytes`);
    }
  }
  const all = Object.entries(headers ?? {});
  const size_bytes = all.reduce((sum, [name, value]) => sum + bytesOf(name) + bytesOf(value), 0);
  if (all.length > HEADERS_MAX || size_bytes > HEADER_BYTES_MAX) {
    const detail = `${all.length} headers with ${size_bytes} bytes`;
    throw new ArqonError(
      "too-many-headers",
      `${detail}; at most ${HEADERS_MAX} with ${HEADER_BYTES_MAX}`,
    );
  }
  if (new Set(all.map(([name]) => name.toLowerCase())).size < all.length) {
    throw new ArqonError("repeated-field", "a header name twice (case does not count)");
  }
}
