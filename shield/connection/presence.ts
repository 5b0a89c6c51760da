/** Presence for a Shield; the presence capability implements it (`presence/`). */
import { ArqonError } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { Identity } from "../auth/identity.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Connection } from "./connection.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Subscriber } from "../fanout/channel.ts";
import type { RequestRef } from "../message/request_ref.ts";

/** Enables connections to be members of rooms. */
export interface Attending {
  /**
   * The presence that a SUB requests; undefined: none. Throws `not-granted`, `presence-disabled`, `invalid-field` and
   * `message-too-large`.
   */
  asked(identity: Identity, subscribe: Subscribe): PresenceRequest | undefined;
  /** The presence of a connection in a room; undefined: none. */
  of(connection: Connection, room_id: string): Attendance | undefined;
  /** Takes a SUB with presence, which is answered later in any case. Throws as the list of members does. */
  ask(connection: Connection, room_id: string, request: AttendanceRequest): undefined;
  /** The steps of ending the presence that the token no longer grants; the client receives the refusals. */
  endingNotGranted(connection: Connection): Iterable<void>;
}

/** A connection that its client had on another Shield. */
export interface Claim {
  readonly connection_id: string;
  /** Whether its client has not reconnected since. */
  is_last(): boolean;
}

/** Presence in rooms, for a Shield. */
export interface Presence {
  announce(): void;
  /** Ends the grace times of a removed user, or connection, in a room, or with `EVERY_ROOM` in all of a tenant. */
  endGrace(tenant_id: string, room_id: string, target: string): void;
  /** Keeps a connection that its client had on a stopping Shield; undefined: there is none. */
  keep(connection_id: string, identity: Identity): Claim | undefined;
  /** Resolves once the connections that move here are known. */
  known(): Promise<void>;
  /** From now on members move: notifies the other Shields of those among these, and waits at most that long. */
  move(connections: Iterable<Connection>, at_most_ms: number): Promise<void>;
  /** Whether members of lost connections stay for their grace time. */
  holds(): boolean;
  attending(context: {
    readonly flushes: FlushQueue;
    readonly limits: Limits;
    readonly stats: ShieldStats;
  }): Attending;
}

/** Without presence. */
export const NO_PRESENCE: Presence = {
  announce: () => {},
  endGrace: () => {},
  keep: () => undefined,
  known: () => Promise.resolve(),
  move: () => Promise.resolve(),
  holds: () => false,
  attending: () => ({
    asked(_identity, { room_id, presence, observer, member_meta }) {
      if (!presence && !observer && member_meta.length === 0) return undefined;
      throw new ArqonError("presence-disabled", room_id);
    },
    of: () => undefined,
    ask: () => undefined,
    endingNotGranted: () => [],
  }),
};

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
