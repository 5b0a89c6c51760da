/**
 * The memory layout of a presence replica: one small record per member, linked into its room and its connection, so
 * that a member needs no Map of its own. Plain data; `state_index.ts` (links), `state_merge.ts` (others' changes) and
 * `state_write.ts` (own changes) modify it.
 */
import type { DeltaDraft } from "./delta.ts";
import type { Generations } from "./generations.ts";
import type { Delta, Entry, Writer, WriterKey, WrittenEntry } from "./types.ts";

/** A held entry and its neighbours. */
export interface Held {
  readonly entry: Entry;
  readonly replica: Replica;
  readonly room: Room;
  /** In the room's list, which has only members of writers that are up. */
  before: Held | undefined;
  after: Held | undefined;
  /** The next entry with the same connection id, of whatever room and writer. */
  sibling: Held | undefined;
}

/** The replica of one writer: exactly its state at counter `clock`. */
export interface Replica {
  readonly writer: Writer;
  readonly key: WriterKey;
  /** All changes up to this counter are merged, and none beyond. */
  clock: number;
  /** False: the writer is down, and its entries are hidden. */
  up: boolean;
  /** By counter, ascending. */
  readonly held: Map<number, Held>;
  /** Deltas after a gap, sorted by start. Bounded; see `state_merge.ts`. */
  pending: Delta[];
  readonly history: Generations;
}

/** A room with members in the replica. */
export interface Room {
  readonly tenant_id: string;
  readonly room_id: string;
  /** Entries held, hidden ones too. The room is dropped at 0. */
  held: number;
  first: Held | undefined;
  last: Held | undefined;
  /** Members that are shown: the length of the list. */
  connections: number;
  /** Shown members whose connection has another shown member. */
  moving: number;
  /** Distinct (issuer, user) among them. */
  users: number;
  /** Shown members by issuer and user; only in rooms that are too large to count by iteration. */
  by_user: Map<string, Map<string, number>> | undefined;
}

/** The rooms of one tenant with members in the replica. */
export interface Tenant {
  readonly tenant_id: string;
  readonly rooms: Map<string, Room>;
}

/** A replica of presence. Used linearly: after a call, use only the returned one. */
export interface PresenceState {
  /** The writer of this replica's own entries; undefined: it only merges. */
  readonly self: Writer | undefined;
  readonly replicas: Map<WriterKey, Replica>;
  readonly tenants: Map<string, Tenant>;
  /** The first of each connection id's entries. */
  readonly connections: Map<string, Held>;
  /** One string object per issuer, with the number of entries that name it. */
  readonly issuers: Map<string, { readonly issuer: string; held: number }>;
  /** Entries held, hidden ones too. */
  members: number;
  /** The changes of `self` since the last `takeDelta`. */
  readonly draft: DeltaDraft | undefined;
  /** By the counter of an entry in the draft: the earlier entry that it updates. */
  readonly updated: Map<number, number>;
}

/** Online joins and leaves. An update is a leave of the old entry and a join of the new one. */
export interface Changes {
  readonly joins: readonly WrittenEntry[];
  readonly leaves: readonly WrittenEntry[];
}

/**
 * The outcome of a delta. `merged`: it was new. `stale`: everything in it was known (also a heartbeat at the known
 * clock). `gap`: earlier changes are missing; it is pending. `unknown`: its writer was never marked up, or has been
 * forgotten. `refused`: it breaks the rules. Only `merged` changes the visible state.
 */
export type MergeOutcome = "merged" | "stale" | "gap" | "unknown" | "refused";

/** The outcome of a merge. */
export interface MergeResult extends Changes {
  readonly state: PresenceState;
  readonly outcome: MergeOutcome;
  /** Changes of a writer that is down: not online until the writer is up again. */
  readonly hidden: Changes;
  /** Why it was refused: the field and the value. */
  readonly fault?: string;
}

/** The outcome of marking a writer. */
export interface MarkResult extends Changes {
  readonly state: PresenceState;
}
