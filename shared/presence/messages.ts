/**
 * The presence messages between Shields and Brains as plain objects (`wire.ts` encodes them,
 * `proto/arqon/v1/replication.proto` defines the fields), and their port: the machines in `shield/presence` and
 * `brain/presence` have no Spine, clock or timers of their own, so that a simulation can run them.
 */
import type { RingPort } from "../cluster/beat.ts";
import type { LeaveReason } from "../records/leave_reason.ts";
import type { Beat, Hello, Stays, StaysWritten } from "../records/member.ts";
import type { Subject } from "../subjects/subject.ts";
import type { Delta, Tag, Writer, WriterClock, WrittenEntry } from "./types.ts";

export type {
  Beat,
  BrainState,
  Hello,
  MissedStays,
  Stay,
  Stays,
  StaysWritten,
} from "../records/member.ts";

/** The publisher of a room's presence: one term of one life of a Brain. Sequences count within it. */
export interface Emitter {
  readonly brain_id: string;
  /** Unix ms of the Brain's start. */
  readonly boot: number;
  /** Increases whenever this Brain's set of live Brains changes. */
  readonly term: number;
}

/** A room and a receiver's position in its updates; `emitter` undefined: none yet. */
export interface RoomPosition {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly emitter: Emitter | undefined;
  readonly sequence: number;
}

/** Shield → `announce`: its changes; an empty delta (start = end) is a heartbeat. */
export interface Announcement {
  readonly kind: "announcement";
  readonly delta: Delta;
  /** It stops: its members leave at once and it is forgotten. */
  readonly leaving: boolean;
  /** The reasons of the leaves in `delta`, by the counters of their entries. */
  readonly reasons?: ReadonlyMap<number, LeaveReason>;
}

/** → `direct` of a Shield or Brain: what did `writer` do after `clock`? */
export interface Pull {
  readonly kind: "pull";
  /** The node whose `direct` subject the answer goes to. */
  readonly from: string;
  readonly request: number;
  readonly writer: Writer;
  readonly clock: number;
}

/** The answer. All pages are of one snapshot; nothing is merged until all have arrived. */
export interface Pulled {
  readonly kind: "pulled";
  readonly request: number;
  /** From 0. */
  readonly page: number;
  readonly pages: number;
  /** `delta` is everything that the writer has (start 0), not changes. */
  readonly full: boolean;
  /** Undefined: the answering process does not know that writer. */
  readonly delta: Delta | undefined;
}

/** Room's owner → `presenceSubject`. */
export interface RoomUpdate {
  readonly kind: "room_update";
  readonly emitter: Emitter;
  /** 1 for the first of an emitter; one more each time. */
  readonly sequence: number;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly joins: readonly WrittenEntry[];
  readonly leaves: readonly Tag[];
  readonly clocks: readonly WriterClock[];
}

/** Shield → `direct` of the owner: requests the members of this room. */
export interface RoomPull {
  readonly kind: "room_pull";
  readonly from: string;
  readonly request: number;
  readonly tenant_id: string;
  readonly room_id: string;
}

/** The answer, in pages of one snapshot. */
export interface RoomSnapshot {
  readonly kind: "room_snapshot";
  readonly request: number;
  readonly page: number;
  readonly pages: number;
  readonly emitter: Emitter;
  readonly sequence: number;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly entries: readonly WrittenEntry[];
  /** The clocks of every writer that the Brain knows and has not forgotten. */
  readonly clocks: readonly WriterClock[];
}

/** Shield → `direct` of the owner: which of these rooms have newer updates? Also detects lost last updates. */
export interface RoomCheck {
  readonly kind: "room_check";
  readonly from: string;
  readonly request: number;
  readonly rooms: readonly RoomPosition[];
}

/** The answer: only rooms with another position. */
export interface RoomDiffers {
  readonly kind: "room_differs";
  readonly request: number;
  readonly rooms: readonly RoomPosition[];
}

/** Everything on `sys.presence.>` and `sys.cluster.>` except commands. */
export type ClusterMessage =
  | Announcement
  | Beat
  | Pull
  | Pulled
  | RoomUpdate
  | RoomPull
  | RoomSnapshot
  | RoomCheck
  | RoomDiffers
  | Hello
  | Stays
  | StaysWritten;

/** The process's parts that a presence machine needs. */
export interface PresencePort extends Pick<RingPort, "now" | "after"> {
  /** In [0, 1). */
  readonly random: () => number;
  /**
   * Best effort: the message may be lost, duplicated, late or out of order. Never throws. Neither side may change the
   * message afterwards.
   */
  readonly send: (subject: Subject, message: ClusterMessage) => void;
}

/** The port of a Shield. */
export interface ShieldPort extends PresencePort {
  /** Subscribes to another subject (a room's) until the returned function is called. */
  readonly listen: (subject: Subject) => () => void;
}
