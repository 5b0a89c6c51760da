/**
 * The `traceparent` that a client put into the headers of its envelope. Reads it from the scanned bytes:
 * a message without one costs a comparison a header and no allocation. What it means for sampling is
 * `shield/traces/traces.ts`.
 */
import type { ScannedEnvelope, SpannedBytes } from "@arqon/proto";
import { parseTraceparent, TRACEPARENT } from "./trace_context.ts";
import type { TraceContext } from "./trace_context.ts";

const NAME = new TextEncoder().encode(TRACEPARENT);
const CASE_BIT = 0x20;
const decoder = new TextDecoder();

/**
 * Whether these bytes are the header's name. All its characters are letters, so one bit makes the
 * difference of case.
 */
function isName(bytes: SpannedBytes, start: number, end: number): boolean {
  if (end - start !== NAME.length) return false;
  for (let index = 0; index < NAME.length; index++) {
    if ((bytes[start + index]! | CASE_BIT) !== NAME[index]) return false;
  }
  return true;
}

/**
 * The trace context of an envelope: `invalid` when there is one that cannot be read, undefined when
 * there is none.
 */
export type ClientContext = TraceContext | "invalid" | undefined;

type Headers = Pick<ScannedEnvelope, "bytes" | "header_spans">;

/**
 * Reads the context that a client put into its headers. The name counts in any case, as with every
 * header; the scanner has refused an envelope with two of them.
 */
export function clientContext({ bytes, header_spans: spans }: Headers): ClientContext {
  for (let at = 0; at < spans.length; at += 4) {
    if (!isName(bytes, spans[at]!, spans[at + 1]!)) continue;
    const text = decoder.decode(bytes.subarray(spans[at + 2]!, spans[at + 3]!));
    return parseTraceparent(text) ?? "invalid";
  }
  return undefined;
}

/** The trace id of the client's context; undefined when it gave none that can be read. */
export function clientTraceId(envelope: Headers): string | undefined {
  const context = clientContext(envelope);
  return context === undefined || context === "invalid" ? undefined : context.trace_id;
}

type Traced = Headers & Pick<ScannedEnvelope, "trace_id">;

/**
 * The trace id that the client named, by the envelope's field or by `traceparent`; "" when it named
 * none.
 */
export function givenTraceId(envelope: Traced): string {
  return envelope.trace_id === "" ? clientTraceId(envelope) ?? "" : envelope.trace_id;
}

/**
 * The key that decides whether a message belongs to a share, of what is mirrored or of a policy's
 * rollout. A trace that the Shield begins, recorded or not, covers one message alone, and as a key it
 * would cut its session in two.
 */
export function shareKey(
  envelope: Traced,
  { connection_id }: { readonly connection_id: string },
): string {
  return givenTraceId(envelope) || connection_id;
}
