/**
 * What the rooms of a Brain need to know of the cluster: who owns which room and who is in it. The
 * presence service implements it (`presence/service.ts`); a room's tests bring their own.
 */
import type { Entry } from "../shared/presence/types.ts";

/** Why members are gone: their own Shield said so, or it was given up (silent, or retired). */
export type LeaveCause = "reported" | "given-up";

/** Members of one room that came or went, as this Brain has just learnt. An update is both. */
export interface MemberChange {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly joins: readonly Entry[];
  readonly leaves: readonly Entry[];
  readonly cause: LeaveCause;
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
  /** Whether some Shield that is up has this connection in the room. */
  isMember(tenant_id: string, room_id: string, connection_id: string): boolean;
  /** Rooms with members, for the sweep of idle ones. */
  occupied(): Iterable<{ readonly tenant_id: string; readonly room_id: string }>;
  /**
   * Whether every Shield that is up was heard of within two heartbeats, and nothing is being
   * pulled.
   */
  isFresh(): boolean;
  /** Calls back for every change of members until the returned function is called. */
  onMembers(listener: (change: MemberChange) => void): () => void;
  /** Calls back when the set of live Brains has changed. */
  onOwnership(listener: () => void): () => void;
}
