/**
 * What a subscriber with a position receives: everything after it, or the reason why not. Pure. A position is
 * "provable" if no message of the room is missing from the list between the position and the end; every position from
 * the timeline's floor on is.
 */
import type { LogPage } from "../../../shared/spine/contract/durable_log.ts";
import type { Limits } from "../../../shared/config/schema.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Lost, Position, Unrecovered } from "../../fanout/entry.ts";
import type { LogCalls } from "../log/log_calls.ts";
import type { Entry, StoredMessage, Timeline } from "../messages/timeline.ts";

/** A room that subscribers enter, in its current state. */
export interface RecoverableRoom {
  /** What the room has followed of its log. */
  readonly follower: {
    readonly stream: string;
    readonly timeline: Timeline;
    /** The room's newest message, also where it is in no list. */
    readonly newest: Entry | undefined;
    /** Increases with every gap and every epoch: a list from before is no longer valid in the room. */
    readonly gaps: number;
    readonly last_gap: Lost;
    readonly log_offset: number;
    /** The highest offset of the room that the log is known to have. */
    readonly goal: number;
    readonly erased: number;
    /** Messages up to there were erased. */
    forgetErased(offset: number): void;
  };
  readonly calls: LogCalls;
  readonly is_started: boolean;
  readonly is_closed: boolean;
  readonly is_proven: boolean;
  readonly is_current: boolean;
  readonly offset: number;
  readonly epoch: string;
  readonly class_of: () => RoomClass;
  /** The log's clock. */
  now(): number;
  lastOf(epoch: string): number | undefined;
  /** Asks the log for the room's head. Resolves with the compared list, or with undefined once the room is closed. */
  verified(): Promise<Timeline | undefined>;
  /** Asks the log which part of the list it still has. Never rejects. */
  compare(): Promise<void>;
}

/** How much one SUB recovers, and how old the messages may be. */
export type RecoveryBounds =
  & Pick<Limits, "recovery_messages" | "recovery_bytes">
  & Pick<RoomClass, "history_size" | "history_ttl_seconds">;

/** The known state of a room when a position is judged. */
export interface Standing {
  readonly epoch: string;
  /**
   * The last offset of an earlier epoch up to which positions are still valid; undefined for an epoch that the log does
   * not remember.
   */
  readonly lastOf: (epoch: string) => number | undefined;
  /** Whether the log is known to be the one that the list was read from. */
  readonly is_proven: boolean;
  /** Whether the log has just confirmed which part of the list it still has. */
  readonly is_current: boolean;
  readonly floor: number;
  readonly last: number;
  /** The highest offset known to be assigned to any room. */
  readonly log_offset: number;
  /** Messages at and below this offset were erased: a subscriber with an earlier position may miss some. */
  readonly erased: number;
  /** Positions up to this one are known not to be provable. */
  readonly trimmed_through: number;
  /** Positions up to this one are known to have too many messages after them. */
  readonly too_many_through: number;
}

/**
 * How to handle a position: serve it from the list (`listed`), continue at the end since nothing is missing (`end`),
 * ask the log first for the room's head (`verify`) or for the part of the list it still has (`compare`), read older
 * messages (`extend`), or refuse.
 */
export type Verdict = "listed" | "end" | "verify" | "compare" | "extend" | Unrecovered;

/** Judges a position. `is_verified`: the log was asked for the room's head after this subscriber came. */
export function judgePosition(
  { after, epoch }: Position,
  standing: Standing,
  is_verified: boolean,
): Verdict {
  const is_same = epoch === "" || epoch === standing.epoch;
  // Messages of that epoch after its last offset are in no log.
  const other_epoch = !is_same && after > (standing.lastOf(epoch) ?? -1);
  // The position may come from a process that knows more than this one.
  const is_unsure = other_epoch || after > standing.last || !standing.is_proven;
  if (!is_verified && is_unsure) return "verify";
  if (other_epoch) return "epoch-changed";
  if (after > Math.max(standing.log_offset, standing.last)) return "offset-ahead";
  if (after < standing.erased) return "erased";
  if (after >= standing.last) return "end";
  if (after >= standing.floor) return standing.is_current ? "listed" : "compare";
  if (after <= standing.trimmed_through) return "history-trimmed";
  return after <= standing.too_many_through ? "too-many" : "extend";
}

/** Whether a message of that time has outlived its class. `now_ms` is by the log's clock. */
export function isExpired(
  time_ms: number,
  now_ms: number,
  { history_ttl_seconds }: Pick<RoomClass, "history_ttl_seconds">,
): boolean {
  return now_ms - time_ms > history_ttl_seconds * 1_000;
}

/** The messages between a provable position and the end. */
export interface Missed {
  readonly messages: number;
  readonly bytes: number;
  readonly first: Pick<StoredMessage, "time_ms"> | undefined;
}

/**
 * Judges the missed messages: "" if all of them may be delivered. The log may still have some that have expired in
 * their class.
 */
export function judgeMissed(
  { messages, bytes, first }: Missed,
  now_ms: number,
  bounds: RecoveryBounds,
): "" | "history-trimmed" | "too-many" {
  if (messages === 0 || first === undefined) return "";
  if (messages > bounds.history_size) return "history-trimmed";
  if (isExpired(first.time_ms, now_ms, bounds)) return "history-trimmed";
  return messages > bounds.recovery_messages || bytes > bounds.recovery_bytes ? "too-many" : "";
}

/** Messages that were read after `target`, page by page, until they meet the list. */
export interface Chain {
  readonly messages: readonly StoredMessage[];
  /** Whether nothing is missing between `target` and the first of the messages. */
  readonly complete: boolean;
}

/** Adds one more page to a chain. Messages that were read before a hole prove nothing. */
export function joinPage(
  chain: Chain,
  page: Pick<LogPage, "complete">,
  messages: readonly StoredMessage[],
): Chain {
  if (!page.complete) return { messages, complete: false };
  return { messages: [...chain.messages, ...messages], complete: chain.complete };
}

/**
 * The list's floor with the chain in front of it: from there on nothing is missing. Messages are removed oldest first,
 * so after an existing one all exist. `floor` is the list's present one.
 */
export function floorWith({ messages, complete }: Chain, target: number, floor: number): number {
  if (complete) return Math.min(target, floor);
  const [first] = messages;
  return first === undefined ? floor : Math.min(first.offset - 1, floor);
}

/**
 * The position to read from next, out of those below the floor, which are ascending and not empty. It
 * is the lowest, which serves them all; if that failed, the middle one. Each answer then decides half
 * of them, so that any number of positions costs a handful of reads.
 */
export function nextTarget(positions: readonly number[], has_failed: boolean): number {
  const index = has_failed ? Math.floor(positions.length / 2) : 0;
  return positions[index] ?? 0;
}
