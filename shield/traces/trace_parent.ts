/**
 * The `traceparent` that a client put into the headers of its envelope. Reads it from the scanned bytes:
 * a message without one costs a comparison a header and no allocation. What it means for sampling is
 * `traces.ts`.
 */
import type { ScannedEnvelope } from "@arqon/proto";
import { parseTraceparent, TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { TraceContext } from "../../shared/telemetry/trace_context.ts";
import type { Caller } from "../message/caller.ts";

const NAME = new TextEncoder().encode(TRACEPARENT);
const CASE_BIT = 0x20;
const decoder = new TextDecoder();

/** Letters only are in the name, so that one bit makes the difference. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== NAME.length) return false;
  for (let index = 0; index < NAME.length; index++) {
    if ((bytes[start + index]! | CASE_BIT) !== NAME[index]) return false;
  }
  return true;
}

/** What an envelope has for a context; `invalid`: there is one that cannot be read. */
export type ClientContext = TraceContext | "invalid" | undefined;

type Headers = Pick<ScannedEnvelope, "bytes" | "header_spans">;

/** The name in any case, as every header; the scanner has refused an envelope with two of them. */
export function clientContext({ bytes, header_spans: spans }: Headers): ClientContext {
  for (let at = 0; at < spans.length; at += 4) {
    if (!isName(bytes, spans[at]!, spans[at + 1]!)) continue;
    const text = decoder.decode(bytes.subarray(spans[at + 2], spans[at + 3]));
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

/** The trace that the client named, by field or by `traceparent`; "" for none. */
export function givenTraceId(envelope: Traced): string {
  return envelope.trace_id === "" ? clientTraceId(envelope) ?? "" : envelope.trace_id;
}

/**
 * The key by which a message is in or out of a share: of what is mirrored, of a policy's rollout. A
 * trace that the Shield begins, recorded or not, is of one message alone and would cut its session
 * in two.
 */
export function shareKey(
  envelope: Traced,
  { connection_id }: Pick<Caller, "connection_id">,
): string {
  return givenTraceId(envelope) || connection_id;
}
