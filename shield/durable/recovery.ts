/**
 * What a subscriber gets when it comes back with a position: everything after it, or the reason why
 * not. Pure. "Provable" below means that nothing of the room is missing from the list between the
 * position and the end; that is known for every position from the timeline's floor on.
 */
import type { LogPage } from "../../shared/spine/contract/durable_log.ts";
import type { Limits } from "../../shared/config/schema.ts";
import type { RoomClass } from "../rooms/classes.ts";
import type { StoredMessage } from "./timeline.ts";

/** The position that a subscriber brings. `epoch` "": it does not say. */
export interface Position {
  readonly after: number;
  readonly epoch: string;
}

/** Why nothing is recovered. */
export type Unrecovered = "epoch-changed" | "history-trimmed" | "too-many" | "offset-ahead";

/** How much one SUB recovers, and how old it may be. */
export type RecoveryBounds =
  & Pick<Limits, "recovery_messages" | "recovery_bytes">
  & Pick<RoomClass, "history_size" | "history_ttl_seconds">;

/** What is known of a room when a position is judged. */
export interface Standing {
  readonly epoch: string;
  /**
   * The last offset of an earlier epoch in which positions still mean what they meant; undefined when
   * there is none by that name.
   */
  readonly lastOf: (epoch: string) => number | undefined;
  /** Whether the log is known to be the one that the list is of. */
  readonly is_proven: boolean;
  readonly floor: number;
  readonly last: number;
  /** The highest offset that the log was known to have given to any room. */
  readonly log_offset: number;
  /** Positions up to this one are known not to be provable. */
  readonly trimmed_through: number;
  /** After positions up to this one there is known to be too much. */
  readonly too_many_through: number;
}

/**
 * What to do for a position: serve it from the list (`listed`), let it go on at the end (`end`: it has
 * seen everything), ask the log first whether this room is up to date (`verify`), read older messages
 * (`extend`), or refuse.
 */
export type Verdict = "listed" | "end" | "verify" | "extend" | Unrecovered;

/** `is_verified`: the log was asked, after this subscriber came, how far the room is. */
export function judgePosition(
  { after, epoch }: Position,
  standing: Standing,
  is_verified: boolean,
): Verdict {
  const is_same = epoch === "" || epoch === standing.epoch;
  // What came later in an earlier epoch is in no log any more.
  const other_epoch = !is_same && after > (standing.lastOf(epoch) ?? -1);
  // It may come from a process that knows more than this one.
  const is_unsure = other_epoch || after > standing.last || !standing.is_proven;
  if (!is_verified && is_unsure) return "verify";
  if (other_epoch) return "epoch-changed";
  if (after > Math.max(standing.log_offset, standing.last)) return "offset-ahead";
  if (after >= standing.last) return "end";
  if (after >= standing.floor) return "listed";
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

/** "" when all of it may be given; the log may still have what its class has outlived. */
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
  /** Nothing is missing between `target` and the first of them. */
  readonly complete: boolean;
}

/** The chain with one more page; messages that were read before a hole prove nothing. */
export function joinPage(
  chain: Chain,
  page: Pick<LogPage, "complete">,
  messages: readonly StoredMessage[],
): Chain {
  if (!page.complete) return { messages, complete: false };
  return { messages: [...chain.messages, ...messages], complete: chain.complete };
}

/**
 * The offset from which the list knows everything once the chain is in front of it. Messages are
 * removed oldest first: where one is still there, all after it are. `floor` is the list's present
 * one.
 */
export function floorWith({ messages, complete }: Chain, target: number, floor: number): number {
  if (complete) return Math.min(target, floor);
  const [first] = messages;
  return first === undefined ? floor : Math.min(first.offset - 1, floor);
}

/**
 * Which of the positions below the floor to read from next, ascending and not empty: the lowest, for
 * that serves them all. If that failed, the middle one: each answer then decides half of them, so that
 * any number of positions costs a handful of reads.
 */
export function nextTarget(positions: readonly number[], has_failed: boolean): number {
  const index = has_failed ? Math.floor(positions.length / 2) : 0;
  return positions[index] ?? 0;
}
