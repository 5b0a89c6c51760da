/**
 * What the rooms of a Brain need to know of the cluster: who owns which room and who is in it. The
 * presence service implements it (`presence/service.ts`); a room's tests bring their own.
 */
import type { LeaveReason } from "../shared/records/leave_reason.ts";
import type {
  Entry,
  Stay,
  Stays,
  StaysWritten,
  Writer,
  WrittenEntry,
} from "../shared/records/member.ts";

/** Why members are gone: their own Shield said so, or it was given up (silent, or retired). */
export type LeaveCause = "reported" | "given-up";

/** Why each left, by the counter of its entry, where its Shield said so. */
export type LeaveReasons = ReadonlyMap<number, LeaveReason>;

/** Members of one room that came or went, as this Brain has just learnt. An update is both. */
export interface MemberChange {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly joins: readonly Entry[];
  readonly leaves: readonly Entry[];
  /** The same leaves, with whose members they were. */
  readonly left: readonly WrittenEntry[];
  readonly cause: LeaveCause;
  readonly reasons?: LeaveReasons | undefined;
}

/** Connections and distinct users (issuer and subject) of a room. */
export interface MemberCount {
  readonly connections: number;
  readonly users: number;
}

/** The cluster as one Brain sees it. */
export interface ClusterView {
  readonly brain_id: string;
  /** Brains that serve, this one among them. */
  readonly brains: readonly string[];
  /**
   * The Brain that owns the room now: rendezvous hashing over the live Brains. A Brain that is
   * alone owns every room.
   */
  ownerOf(tenant_id: string, room_id: string): string;
  /** Takes note that a Brain is gone or did not answer: it counts as dead until its next beat. */
  suspect(brain_id: string): void;
  /** Members in the order of their birth. */
  members(tenant_id: string, room_id: string): Iterable<Entry>;
  count(tenant_id: string, room_id: string): MemberCount;
  /** The connection's entry in the room, at some Shield that is up. */
  memberOf(tenant_id: string, room_id: string, connection_id: string): WrittenEntry | undefined;
  /** Whether exactly this life of a Shield is up, as far as this Brain knows. */
  isUp(writer: Writer): boolean;
  /** Whether this Brain takes part: it has read everybody, and does not drain. */
  readonly serving: boolean;
  /** Rooms with members, for the sweep of idle ones. */
  occupied(): Iterable<{ readonly tenant_id: string; readonly room_id: string }>;
  /**
   * Whether every Shield that is up was heard of within two heartbeats, and nothing is being
   * pulled.
   */
  isFresh(): boolean;
  /** Calls back for every change of members until the returned function is called. */
  onMembers(listener: (change: MemberChange) => void): () => void;
  /**
   * Calls back when the set of live Brains has changed, or (`was_away`) others may have taken this one
   * for dead and served its rooms.
   */
  onOwnership(listener: (was_away: boolean) => void): () => void;
}

/** What is said of members that have left. */
export interface ToldStays extends Pick<Stays, "stays" | "missed"> {
  /** The Shield that says so of its own; undefined: another Brain, of members whose Shields are gone. */
  readonly node_id: string | undefined;
}

/** Members that Shields and Brains keep until the journals of their rooms have them. */
export interface StaysView {
  /** Calls back, while this Brain serves, with what is reported again and again, for whichever Brain. */
  onStays(listener: (told: ToldStays) => void): () => void;
  /** Calls back with what another Brain has written. */
  onStaysWritten(listener: (written: Pick<StaysWritten, "stays">) => void): () => void;
  /** Says to the Shield, and to the other Brains, that they are there, or need not. */
  confirmStays(node_id: string, written: Pick<StaysWritten, "stays" | "missed">): void;
  /** Tells the other Brains of members whose Shields are gone. */
  shareStays(stays: readonly Stay[]): void;
}

/** The view of a Brain without presence: it is alone, owns every room, and knows no members. */
export const loneView = (brain_id: string): ClusterView => ({
  brain_id,
  brains: [brain_id],
  serving: true,
  ownerOf: () => brain_id,
  suspect: () => {},
  members: () => [],
  count: () => ({ connections: 0, users: 0 }),
  memberOf: () => undefined,
  isUp: () => false,
  occupied: () => [],
  isFresh: () => true,
  onMembers: () => () => {},
  onOwnership: () => () => {},
});
