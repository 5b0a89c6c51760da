/**
 * The view of the cluster that rooms of a Brain need: owners and members of rooms. The ring (`ring/ring.ts`) knows the
 * owners, a capability the members; tests of rooms have their own.
 */
import type { LeaveReason } from "../shared/records/leave_reason.ts";
import type { Entry, Writer, WrittenEntry } from "../shared/records/member.ts";

/** A room in its tenant. */
export interface RoomAddress {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** Why members left: their own Shield reported it, or the Shield was given up (silent, or stopped). */
export type LeaveCause = "reported" | "given-up";

/** The reasons of leaves that Shields reported, by the counter of the entry. */
export type LeaveReasons = ReadonlyMap<number, LeaveReason>;

/** A change of one room's members. An update of metadata is a leave and a join. */
export interface MemberChange {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly joins: readonly Entry[];
  readonly leaves: readonly Entry[];
  /** The same leaves, with their writers. */
  readonly left: readonly WrittenEntry[];
  readonly cause: LeaveCause;
  readonly reasons?: LeaveReasons | undefined;
}

/** Connections and distinct users (issuer and subject) of a room. */
export interface MemberCount {
  readonly connections: number;
  readonly users: number;
}

/** The Brains of the cluster as one of them sees them. */
export interface RingView {
  readonly brain_id: string;
  /** The serving Brains, including this one. */
  readonly brains: readonly string[];
  /** The Brain that owns the room now: rendezvous hashing over the live Brains. A single Brain owns every room. */
  ownerOf(tenant_id: string, room_id: string): string;
  /** Reports that a Brain is down or did not answer: it counts as down until its next beat. */
  suspect(brain_id: string): void;
  /**
   * Calls back when the set of live Brains has changed, or (`was_away`) when others may have considered this one down
   * and served its rooms, until the returned function is called.
   */
  onOwnership(listener: (was_away: boolean) => void): () => void;
}

/** The cluster as one Brain sees it. */
export interface ClusterView extends RingView {
  /** Members in the order of their birth. */
  members(tenant_id: string, room_id: string): Iterable<Entry>;
  count(tenant_id: string, room_id: string): MemberCount;
  memberOf(tenant_id: string, room_id: string, connection_id: string): WrittenEntry | undefined;
  /** Whether exactly this incarnation of a Shield is known and up. */
  isUp(writer: Writer): boolean;
  /** Rooms with members, for the sweep of idle ones. */
  occupied(): Iterable<RoomAddress>;
  /** Whether every Shield that is up sent a message within two heartbeats, and nothing is being pulled. */
  isFresh(): boolean;
  /** Calls back for every change of members until the returned function is called. */
  onMembers(listener: (change: MemberChange) => void): () => void;
}

/** The view of a Brain that knows no members. */
export const memberlessView = (ring: RingView): ClusterView => ({
  brain_id: ring.brain_id,
  get brains() {
    return ring.brains;
  },
  ownerOf: (tenant_id, room_id) => ring.ownerOf(tenant_id, room_id),
  suspect: (brain_id) => ring.suspect(brain_id),
  onOwnership: (listener) => ring.onOwnership(listener),
  members: () => [],
  count: () => ({ connections: 0, users: 0 }),
  memberOf: () => undefined,
  isUp: () => false,
  occupied: () => [],
  isFresh: () => true,
  onMembers: () => () => {},
});
