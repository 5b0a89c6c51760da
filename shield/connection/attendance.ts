/** A connection's presence in a room, requested by its SUBs; the presence capability implements it (`presence/`). */
import { ArqonError } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Identity } from "../auth/identity.ts";
import type { RequestRef } from "../message/request_ref.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Subscriber } from "../fanout/hub.ts";
import type { Connection } from "./connection.ts";
import type { Claim } from "./entrance.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { PresenceRequest } from "./presence_request.ts";

/** The connection's position in the log of a durable room. */
export interface LogPlace {
  /** The connection's position: its offset, and the members of a JSON object for the answer. */
  position(): { readonly offset: number; readonly members: string };
  /** Called when the answer has been sent: missed messages follow. */
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
  /** The place in the log, in a durable room. */
  readonly log?: LogPlace;
}

/** The presence of a connection in a room; in its `attendances` until it ends. */
export interface Attendance {
  /** Starts a SUB with presence, which is answered later in any case. */
  ask(request: AttendanceRequest): void;
  /** Ends the presence; SUBs that are not answered yet are refused. Idempotent. */
  end(deliberate: boolean, reason?: LeaveReason): void;
  /** Ends it where the subscription may stay: SUBs that are not answered are refused, and what was before them remains. */
  refuse(error: ArqonError): void;
}

/** Starts the presence of a connection in a room where it has none. Throws as the list of members does. */
export type Attend = (connection: Connection, room_id: string) => Attendance;

/** Presence in rooms, and the known Brains, for a Shield. */
export interface Presence {
  /** A message that a Brain receives without answering. */
  readonly hello: Uint8Array;
  readonly presence: {
    /** Announces this Shield's queued membership changes. */
    announce(): void;
    brains(): readonly string[];
    /** A Brain has not answered: it counts as down until its next heartbeat. */
    suspect(brain_id: string): void;
    /** From now on members move. */
    beginMove(): void;
    drain(): void;
  };
  /** Connections that move from one Shield to another. */
  readonly moving: {
    keep(connection_id: string, identity: Identity): Claim | undefined;
    /** Tells the other Shields which connections move, waiting so long at most. */
    tell(connections: readonly Connection[], at_most_ms: number): Promise<void>;
    /** Resolves when the connections that move here are known. */
    known(): Promise<void>;
  };
  readonly stats: { readonly held_members: number };
  /** Lets connections be members of rooms. */
  attending(context: {
    readonly flushes: FlushQueue;
    readonly limits: Limits;
    readonly stats: ShieldStats;
  }): Attend;
}

/** Without presence. */
export const NO_PRESENCE: Presence = {
  hello: new Uint8Array(),
  presence: {
    announce: () => {},
    brains: () => [],
    suspect: () => {},
    beginMove: () => {},
    drain: () => {},
  },
  moving: {
    keep: () => undefined,
    tell: () => Promise.resolve(),
    known: () => Promise.resolve(),
  },
  stats: { held_members: 0 },
  attending: () => (_connection, room_id) => {
    throw new ArqonError("presence-disabled", room_id);
  },
};
