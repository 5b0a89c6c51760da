/** Presence for a Shield; the presence capability implements it (`presence/`). */
import { ArqonError } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { Identity } from "../auth/identity.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Connection } from "./connection.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { AttendanceRequest, PresenceRequest } from "./attendance.ts";

/** Enables connections to be members of rooms. */
export interface Attending {
  /**
   * The presence that a SUB requests; undefined: none. Throws `not-granted`, `presence-disabled`, `invalid-field` and
   * `message-too-large`.
   */
  asked(identity: Identity, subscribe: Subscribe): PresenceRequest | undefined;
  /** Takes a SUB with presence, which is answered later in any case. Throws as the list of members does. */
  ask(connection: Connection, room_id: string, request: AttendanceRequest): undefined;
}

/** A connection that its client had on another Shield. */
export interface Claim {
  readonly connection_id: string;
  /** Whether its client has not reconnected since. */
  is_last(): boolean;
}

/** Presence in rooms, for a Shield. */
export interface Presence {
  readonly presence: {
    /** Announces this Shield's queued membership changes. */
    announce(): void;
    /** From now on members move. */
    beginMove(): void;
    drain(): void;
  };
  /** Connections that move from one Shield to another. */
  readonly moving: {
    keep(connection_id: string, identity: Identity): Claim | undefined;
    /** Notifies the other Shields of moving connections, and waits at most that long. */
    tell(connections: readonly Connection[], at_most_ms: number): Promise<void>;
    /** Resolves once the connections that move here are known. */
    known(): Promise<void>;
  };
  readonly stats: { readonly held_members: number };
  attending(context: {
    readonly flushes: FlushQueue;
    readonly limits: Limits;
    readonly stats: ShieldStats;
  }): Attending;
}

/** Without presence. */
export const NO_PRESENCE: Presence = {
  presence: {
    announce: () => {},
    beginMove: () => {},
    drain: () => {},
  },
  moving: {
    keep: () => undefined,
    tell: () => Promise.resolve(),
    known: () => Promise.resolve(),
  },
  stats: { held_members: 0 },
  attending: () => ({
    asked(_identity, { room_id, presence, observer, member_meta }) {
      if (!presence && !observer && member_meta.length === 0) return undefined;
      throw new ArqonError("presence-disabled", room_id);
    },
    ask: () => undefined,
  }),
};
