/** The stamp of an admitted message: its ids, headers, and the buffer of its frame. */
import { type FrameSpace, OwnBuffers, type ScannedEnvelope, stampRouted } from "@arqon/proto";
import { passing_messages } from "../../shared/containers/byte_arena.ts";
import { putTraceId, putUuidv7, TRACE_ID_BYTES, UUID_BYTES } from "../../shared/ids.ts";
import type { StampSource } from "../../shared/records/system_envelope.ts";
import { ORIGIN_HEADER } from "../../shared/records/caller_headers.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { type TraceContext, TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { Identity } from "../auth/identity.ts";
import { HeadedSpace } from "../socket/frame_space.ts";
import { clientTraceId } from "../../shared/telemetry/trace_parent.ts";
import type { HeaderPair } from "./caller.ts";

/** Recorded traces. */
export interface Traced {
  /** The trace of a message or request; undefined: not recorded. */
  find(about: object): { readonly trace_id: string; readonly traceparent: string } | undefined;
  /** Records that the envelope is a child of this context, whose trace id it has. */
  place(envelope: ScannedEnvelope, context: TraceContext): void;
}

/** What a stamp needs of the process. */
interface TracedStamps extends StampSource {
  readonly traces?: Traced | undefined;
}

/** The headers if no policy has added any. */
export const NONE_ADDED: readonly HeaderPair[] = [];

/** The trace id of the frame being stamped, as bytes, as no caller needs it as text. */
const trace_id = new Uint8Array(TRACE_ID_BYTES);
const twist_id = new Uint8Array(UUID_BYTES);
/** The stamp of that frame: one object for all, since no caller keeps it. */
const present = {
  trace_id: "" as string | Uint8Array,
  tenant_id: "",
  room_id: "",
  timestamp_ms: 0,
  sender_id: "",
  twist_id,
  added_headers: NONE_ADDED,
};
/** The buffer of frames that are sent at once. */
export const passing = new HeadedSpace(passing_messages);
/** The buffer of frames that are kept. */
export const kept = new HeadedSpace(new OwnBuffers());

/**
 * The admitted envelope for subscribers: its routed form, in a whole MSG frame. With `space`, the frame is valid only
 * until it has been sent. `now_ms` is Unix ms.
 */
export function stamp(
  path: TracedStamps,
  identity: Pick<Identity, "tenant_id" | "user_id">,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[] = NONE_ADDED,
  now_ms: number = path.now(),
  space: FrameSpace = kept,
): Uint8Array {
  present.trace_id = traceIdOf(path, envelope);
  putUuidv7(twist_id, now_ms, path.random);
  present.tenant_id = identity.tenant_id;
  present.room_id = envelope.room_id;
  present.timestamp_ms = now_ms;
  present.sender_id = identity.user_id;
  present.added_headers = added_headers;
  return stampRouted(envelope, present, space);
}

/** The client's trace id, by field or by `traceparent`; else that of the recorded trace; else a new one. */
function traceIdOf(path: TracedStamps, envelope: ScannedEnvelope): string | Uint8Array {
  if (envelope.trace_id !== "") return envelope.trace_id;
  const known = path.traces?.find(envelope)?.trace_id ?? clientTraceId(envelope);
  if (known !== undefined) return known;
  putTraceId(trace_id, path.random);
  return trace_id;
}

/** The headers of a message outside its envelope; undefined: none. */
export function spineHeaders(
  { traces }: Pick<TracedStamps, "traces">,
  envelope: ScannedEnvelope,
  origin: string | undefined,
): SpineHeaders | undefined {
  const traceparent = traces?.find(envelope)?.traceparent;
  if (traceparent === undefined) {
    return origin === undefined ? undefined : { [ORIGIN_HEADER]: origin };
  }
  return origin === undefined
    ? { [TRACEPARENT]: traceparent }
    : { [ORIGIN_HEADER]: origin, [TRACEPARENT]: traceparent };
}
