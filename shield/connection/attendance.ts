/** A connection's presence in a room, as its SUBs ask for it: who is there is the capability's affair (`presence/`). */
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { RequestRef } from "../message/request_ref.ts";
import type { Subscriber } from "../fanout/hub.ts";
import type { Connection } from "./connection.ts";
import type { PresenceRequest } from "./presence_request.ts";

/** The connection's place in the log of a durable room. */
export interface LogPlace {
  /** The connection's position: its offset, and the members of a JSON object for the answer. */
  position(): { readonly offset: number; readonly members: string };
  /** Called when the answer has been sent: what the connection has missed follows. */
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
  /** Puts back another subscription (undefined: none), unless a later SUB has replaced this one's. */
  readonly restore: (subscriber: Subscriber | undefined) => void;
  /** Ends the subscription, and this attendance with it, unless a later SUB has replaced it. */
  readonly leave: () => void;
  /** The place in the log, in a durable room. */
  readonly log?: LogPlace;
}

/** The presence of a connection in a room, which is in its `attendances` until it ends. */
export interface Attendance {
  /** Takes a SUB with presence, which is answered later in any case. */
  ask(request: AttendanceRequest): void;
  /** Ends the presence; SUBs that are not answered yet are refused. Idempotent. */
  end(deliberate: boolean, reason?: LeaveReason): void;
}

/** Begins the presence of a connection in a room, where it has none. Throws as the list of members does. */
export type Attend = (connection: Connection, room_id: string) => Attendance;
