/**
 * The `traceparent` in the headers of a client's envelope. Read from the scanned bytes: a message without one costs one
 * comparison per header and no allocation. `shield/traces/traces.ts` decides what it means for sampling.
 */
import type { ScannedEnvelope, SpannedBytes } from "@arqon/proto";
import { parseTraceparent, type TraceContext, TRACEPARENT } from "./trace_context.ts";

const NAME = new TextEncoder().encode(TRACEPARENT);
const CASE_BIT = 0x20;
const decoder = new TextDecoder();

/** Whether these bytes are the header's name. It has letters only, so one bit ignores case. */
function isName(bytes: SpannedBytes, start: number, end: number): boolean {
  if (end - start !== NAME.length) return false;
  for (let index = 0; index < NAME.length; index++) {
    if ((bytes[start + index]! | CASE_BIT) !== NAME[index]) return false;
  }
  return true;
}

/** The trace context of an envelope: `invalid` if it cannot be parsed, undefined if there is none. */
export type ClientContext = TraceContext | "invalid" | undefined;

type Headers = Pick<ScannedEnvelope, "bytes" | "header_spans">;

/**
 * Reads the context in a client's headers. The name's case is ignored, as for every header; the scanner has refused
 * duplicates.
 */
export function clientContext({ bytes, header_spans: spans }: Headers): ClientContext {
  for (let at = 0; at < spans.length; at += 4) {
    if (!isName(bytes, spans[at]!, spans[at + 1]!)) continue;
    const text = decoder.decode(bytes.subarray(spans[at + 2]!, spans[at + 3]!));
    return parseTraceparent(text) ?? "invalid";
  }
  return undefined;
}

/** The trace id of the client's context; undefined if there is no valid one. */
export function clientTraceId(envelope: Headers): string | undefined {
  const context = clientContext(envelope);
  return context === undefined || context === "invalid" ? undefined : context.trace_id;
}

type Traced = Headers & Pick<ScannedEnvelope, "trace_id">;

/** The client's trace id, from the envelope's field or from `traceparent`; "" if there is none. */
export function givenTraceId(envelope: Traced): string {
  return envelope.trace_id === "" ? clientTraceId(envelope) ?? "" : envelope.trace_id;
}

/**
 * The key that decides whether a message is in a share, of a mirror or of a policy's rollout. A trace that the Shield
 * starts covers one message only, and as a key it would split its session.
 */
export function shareKey(
  envelope: Traced,
  { connection_id }: { readonly connection_id: string },
): string {
  return givenTraceId(envelope) || connection_id;
}
