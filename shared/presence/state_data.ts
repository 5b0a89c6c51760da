/**
 * How a replica of presence lies in memory: one small record per member, linked into its room and
 * its connection, so that a member costs no Map of its own. Plain data; what happens to it is in
 * `state_index.ts` (links), `state_merge.ts` (others' changes) and `state_write.ts` (own changes).
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

/** What is held of one writer: exactly what it had when its counter stood at `clock`. */
export interface Replica {
  readonly writer: Writer;
  readonly key: WriterKey;
  /** Everything up to this counter has been seen, and nothing beyond it is shown. */
  clock: number;
  /** False: the writer is down, and its entries are hidden. */
  up: boolean;
  /** By counter, ascending. */
  readonly held: Map<number, Held>;
  /** Deltas that wait for a hole to be filled, by their start. Bounded; see `state_merge.ts`. */
  pending: Delta[];
  readonly history: Generations;
}

/** A room of which some member is held. */
export interface Room {
  readonly tenant_id: string;
  readonly room_id: string;
  /** Entries held, hidden ones too. The room is dropped at 0. */
  held: number;
  first: Held | undefined;
  last: Held | undefined;
  /** Members that are shown: the length of the list. */
  connections: number;
  /** Members among those that are of a connection that another member is of, too. */
  moving: number;
  /** Distinct (issuer, user) among them. */
  users: number;
  /** Shown members by issuer and user; only in rooms that are too large to count by walking. */
  by_user: Map<string, Map<string, number>> | undefined;
}

/** The rooms of one tenant of which some member is held. */
export interface Tenant {
  readonly tenant_id: string;
  readonly rooms: Map<string, Room>;
}

/**
 * A replica of presence. Used linearly: after a call that takes one, only the returned one is it.
 */
export interface PresenceState {
  /** The writer whose entries this replica makes; undefined: it only merges. */
  readonly self: Writer | undefined;
  readonly replicas: Map<WriterKey, Replica>;
  readonly tenants: Map<string, Tenant>;
  /** The first of each connection id's entries. */
  readonly connections: Map<string, Held>;
  /** One string object per issuer, with the number of entries that name it. */
  readonly issuers: Map<string, { readonly issuer: string; held: number }>;
  /** Entries held, hidden ones too. */
  members: number;
  /** What `self` did since the last `takeDelta`. */
  readonly draft: DeltaDraft | undefined;
  /** By the counter of an entry in the draft: the older one, from before it, that it updates. */
  readonly updated: Map<number, number>;
}

/** What came and went, as seen online. An update is a leave of the old and a join of the new. */
export interface Changes {
  readonly joins: readonly WrittenEntry[];
  readonly leaves: readonly WrittenEntry[];
}

/**
 * The outcome of a delta. `merged`: it was new. `stale`: everything in it had been seen (a
 * heartbeat at the known clock, too). `gap`: something before it is missing; it waits, nothing is
 * shown. `unknown`: its writer was never marked up, or has been forgotten. `refused`: it breaks the
 * rules. In all cases but `merged` nothing that can be seen has changed.
 */
export type MergeOutcome = "merged" | "stale" | "gap" | "unknown" | "refused";

/** The outcome of a merge. */
export interface MergeResult extends Changes {
  readonly state: PresenceState;
  readonly outcome: MergeOutcome;
  /** What a writer that is down did: not online, told when the writer is up again. */
  readonly hidden: Changes;
  /** Why it was refused: names the field and the value. */
  readonly fault?: string;
}

/** The outcome of marking a writer. */
export interface MarkResult extends Changes {
  readonly state: PresenceState;
}
