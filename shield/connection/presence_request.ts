/**
 * What a SUB with presence requests, a member with metadata or an observer, and the resulting presence. `authorize.ts`
 * checks the token.
 */
import { ArqonError, JSON_DEPTH_MAX, nestsTooDeep } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Subscriber } from "../fanout/channel.ts";
import type { RequestRef } from "../message/request_ref.ts";

/** The presence options of a SUB. */
export interface PresenceRequest {
  /** False for an observer. */
  readonly is_member: boolean;
  /** The metadata as JSON text, as the client gave it; "" for none. */
  readonly meta: string;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function jsonText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
    JSON.parse(text);
  } catch {
    throw new ArqonError("invalid-field", "member_meta is not JSON in UTF-8");
  }
  if (!nestsTooDeep(text)) return text;
  const detail = `member_meta is nested more than ${JSON_DEPTH_MAX} levels deep`;
  throw new ArqonError("invalid-field", detail);
}

/**
 * Checks the presence options of a SUB; undefined without presence. Throws `invalid-field` (400) for options that
 * contradict each other or metadata that is not JSON, and `message-too-large` (413) for too much metadata.
 */
export function presenceRequest(
  { presence, observer, member_meta }: Subscribe,
  { member_meta_bytes }: Pick<Limits, "member_meta_bytes">,
): PresenceRequest | undefined {
  const has_meta = member_meta.length > 0;
  if (!presence) {
    if (observer) throw new ArqonError("invalid-field", "observer without presence");
    if (has_meta) throw new ArqonError("invalid-field", "member_meta without presence");
    return undefined;
  }
  if (observer && has_meta) {
    throw new ArqonError("invalid-field", "member_meta of an observer, who is not a member");
  }
  if (member_meta.length > member_meta_bytes) {
    const detail = `member_meta has ${member_meta.length} bytes; at most ${member_meta_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  return { is_member: !observer, meta: has_meta ? jsonText(member_meta) : "" };
}

/** The connection's position in the log of a durable room. */
export interface LogPlace {
  /** The connection's position: its offset, and the members of a JSON object for the answer. */
  position(): { readonly offset: number; readonly members: string };
  /** Called after the answer was sent: missed messages follow. */
  begin(): void;
}

/** A SUB with presence that has not been answered yet. */
export interface AttendanceRequest {
  readonly request: RequestRef;
  readonly presence_request: PresenceRequest;
  /** The subscriber that the SUB made. */
  readonly subscriber: Subscriber;
  /** The subscriber before the SUB, if there was one. */
  readonly before: Subscriber | undefined;
  /** Restores another subscription (undefined: none), unless a later SUB has replaced this one's. */
  readonly restore: (subscriber: Subscriber | undefined) => void;
  /** Ends the subscription, and this attendance with it, unless a later SUB has replaced it. */
  readonly leave: () => void;
  /** The position in the log, in a durable room. */
  readonly log?: LogPlace;
}

/** The presence of a connection in a room; in its `attendances` until it ends. */
export interface Attendance {
  /** Starts a SUB with presence, which is answered later in any case. */
  ask(request: AttendanceRequest): void;
  /** Ends the presence; SUBs that are not answered yet are refused. Idempotent. */
  end(deliberate: boolean, reason?: LeaveReason): void;
  /** Ends it while the subscription may stay: unanswered SUBs are refused, and the earlier state remains. */
  refuse(error: ArqonError): void;
}
