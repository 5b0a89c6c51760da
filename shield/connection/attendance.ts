/** The presence of a connection in a room; the presence capability implements it (`presence/`). Types only. */
import type { ArqonError } from "@arqon/proto";
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
  readonly subscriber: Subscriber;
  /** The subscriber before the SUB, if there was one. */
  readonly before: Subscriber | undefined;
  /** Restores another subscription (undefined: none), unless a later SUB has replaced this one's. */
  readonly restore: (subscriber: Subscriber | undefined) => void;
  /** Ends the subscription, and this attendance with it, unless a later SUB has replaced it. */
  readonly leave: () => void;
  /** The position in the log, in a durable room. */
  readonly log?: LogPlace | undefined;
}

/** The presence of a connection in a room. */
export interface Attendance {
  /** Starts a SUB with presence, which is answered later in any case. */
  ask(request: AttendanceRequest): void;
  /** Ends the presence; SUBs that are not answered yet are refused. Idempotent. */
  end(deliberate: boolean, reason?: LeaveReason): void;
  /** Ends it while the subscription may stay: unanswered SUBs are refused, and the earlier state remains. */
  refuse(error: ArqonError, reason?: LeaveReason): void;
}
