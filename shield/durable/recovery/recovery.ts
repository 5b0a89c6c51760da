/**
 * What a subscriber with a position receives: everything after it, or the reason why not. Pure. A position is
 * "provable" if no message of the room is missing from the list between the position and the end; every position from
 * the timeline's floor on is.
 */
import type { LogPage } from "../../../shared/spine/contract/durable_log.ts";
import type { Limits } from "../../../shared/config/schema.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { EntryPoint, Episode, Flow, Lost, Position, Unrecovered } from "../../fanout/entry.ts";
import type { LogCalls } from "../log/log_calls.ts";
import { cursorAfter, cursorBefore, cursorFrom, fromLog } from "../messages/timeline.ts";
import type { Cursor, Entry, StoredMessage, Timeline } from "../messages/timeline.ts";

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
  /** As `DurableLog.shownTime`. */
  shownTime(): number;
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

/** Whether a message of that time has outlived its class. `now_ms` is by `DurableLog.shownTime`. */
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

// Older messages are read until they meet the list: so a stale replica is distinguished from a room without more
// messages, and no message between the two is missed.

/** How often a stale replica is read again, with growing pauses; after that the log itself is read. */
export const LAG_TRIES = 3;
const LAG_PAUSE_MS = 20;

/** The pause before a replica is read for the `tries`-th time again, in ms. */
export function lagPauseMs(tries: number): number {
  return Math.min(LAG_PAUSE_MS * 3 ** Math.min(tries, 8), 1_000);
}

/**
 * The result of a backfill. `over`: more messages follow the position than the limits allow, for one SUB or the class's
 * retention. `behind`: no replica has the first message of the list yet. `stale`: the room was closed, or its list was
 * replaced.
 */
export type Backfill =
  | {
    readonly outcome: "read";
    readonly chain: Chain;
    /**
     * The list that the messages go before: its `gaps` count, and the offset of its first message; 0
     * when it has none.
     */
    readonly gaps: number;
    readonly until: number;
  }
  | { readonly outcome: "over"; readonly reason: "history-trimmed" | "too-many" }
  | { readonly outcome: "behind" | "stale" };

/** Reads the messages that came after `target`, a position below the list. */
export async function backfill(
  room: RecoverableRoom,
  target: number,
  bounds: RecoveryBounds,
): Promise<Backfill> {
  const { follower, follower: { gaps } } = room;
  let chain: Chain = { messages: [], complete: true };
  let after = target;
  for (let tries = 0;;) {
    const page = await room.calls.read("recovery", after);
    if (page === undefined || follower.gaps !== gaps) return { outcome: "stale" };
    if (page.stream !== follower.stream) return await otherStream(room);
    // The room knows it from now on, and uses it.
    if (page.erased !== undefined) {
      follower.forgetErased(page.erased);
      return { outcome: "stale" };
    }
    const { first } = follower.timeline;
    const messages = page.messages.map(fromLog);
    chain = messages.length > 0 ? joinPage(chain, page, before(messages, first)) : chain;
    if (first === undefined) {
      if (!page.more) return read(room, ofEmptyRoom(chain, page));
    } else if ((messages.at(-1)?.offset ?? 0) >= first.offset) {
      return read(room, chain);
    }
    const reason = excess(chain, follower.timeline, bounds);
    if (reason !== undefined) return { outcome: "over", reason };
    const newest = messages.at(-1);
    if (newest !== undefined) {
      after = newest.offset;
      tries = 0;
    } else if (++tries > LAG_TRIES) {
      return await isGone(room, gaps);
    } else {
      await room.calls.pause(lagPauseMs(tries));
    }
  }
}

function read({ follower: { gaps, timeline } }: RecoverableRoom, chain: Chain): Backfill {
  return { outcome: "read", chain, gaps, until: timeline.first?.offset ?? 0 };
}

function before(
  messages: readonly StoredMessage[],
  first: StoredMessage | undefined,
): readonly StoredMessage[] {
  return first === undefined ? messages : messages.filter(({ offset }) => offset < first.offset);
}

/** The chain if the log had no message of the room: messages on a replica are about to be removed. */
function ofEmptyRoom(chain: Chain, page: LogPage): Chain {
  const complete = chain.messages.length === 0 && chain.complete && page.complete;
  return { messages: [], complete };
}

function excess(
  { messages }: Chain,
  { count, bytes }: Timeline,
  bounds: RecoveryBounds,
): "history-trimmed" | "too-many" | undefined {
  const missed = messages.length + count;
  if (missed > bounds.history_size) return "history-trimmed";
  const missed_bytes = messages.reduce((sum, { envelope }) => sum + envelope.length, bytes);
  const too_many = missed > bounds.recovery_messages || missed_bytes > bounds.recovery_bytes;
  return too_many ? "too-many" : undefined;
}

async function otherStream(room: RecoverableRoom): Promise<Backfill> {
  await room.verified();
  return { outcome: "stale" };
}

/** Why no replica shows the start of the list: it is stale, or the log has removed everything older. */
async function isGone(room: RecoverableRoom, gaps: number): Promise<Backfill> {
  const { follower } = room;
  const head = await room.calls.head("lag");
  if (head === undefined || follower.gaps !== gaps) return { outcome: "stale" };
  if (head.stream !== follower.stream) return await otherStream(room);
  const begins = follower.timeline.first?.offset ?? 0;
  if ((head.last?.offset ?? 0) >= begins) return { outcome: "behind" };
  return read(room, { messages: [], complete: false });
}

/** An entry point. `read` is the last entry that a recovered subscriber has; undefined for any other subscriber. */
export class LiveEntryPoint implements EntryPoint {
  readonly #room: RecoverableRoom;
  readonly #gaps: number;
  #recovered: boolean | undefined;
  #reason: "" | Unrecovered;
  #read: Entry | undefined;
  #cursor: Cursor | undefined;
  readonly #tail = () => this.#room.follower.timeline.tail;

  constructor(room: RecoverableRoom, reason: "" | Unrecovered, read: Entry | undefined) {
    this.#room = room;
    this.#gaps = room.follower.gaps;
    this.#reason = reason;
    this.#read = read;
    this.#recovered = read !== undefined ? true : reason !== "" ? false : undefined;
  }

  get recovered(): boolean | undefined {
    this.#look();
    return this.#recovered;
  }

  get reason(): "" | Unrecovered {
    this.#look();
    return this.#reason;
  }

  flow(before?: Flow, may_return = false): LogFlow {
    const known = before instanceof LogFlow ? before : new LogFlow();
    if (may_return && known.is_live) known.rewind(cursorAfter(this.#tail(), this.#tail));
    const flow = may_return ? new LogFlow() : known;
    flow.rewind(this.cursor);
    return flow;
  }

  /** The position where the subscriber continues. Always the same object. */
  get cursor(): Cursor {
    this.#look();
    return this.#cursor ??= this.#place();
  }

  position(): { offset: number; epoch: string } {
    const { offset, epoch } = this.#room;
    // A last message from before an erased one is where its subscriber begins.
    return { offset: Math.min(offset, this.#last?.offset ?? offset), epoch };
  }

  /** Checks for a gap since the decision that was not reported to this subscriber. */
  #look(): void {
    const { gaps, last_gap } = this.#room.follower;
    if (this.#cursor !== undefined || this.#read === undefined || gaps === this.#gaps) return;
    this.#recovered = false;
    this.#reason = last_gap;
    this.#read = undefined;
  }

  #place(): Cursor {
    const tail = this.#tail;
    if (this.#read !== undefined) return cursorAfter(this.#read, tail);
    const last = this.#last;
    if (last === undefined) return cursorAfter(tail(), tail);
    return last === tail() ? cursorBefore(last, tail) : cursorFrom(last, tail);
  }

  /** The room's last message, if the subscriber receives it at once. */
  get #last(): Entry | undefined {
    const { newest } = this.#room.follower;
    const room_class = this.#room.class_of();
    if (this.#read !== undefined || !room_class.cache_last || newest === undefined) {
      return undefined;
    }
    return isExpired(newest.time_ms, this.#room.shownTime(), room_class) ? undefined : newest;
  }
}

// A flow outlives a SUB that only changes options, so that no message is lost or repeated.

/** The flow of one connection in one durable room. */
export class LogFlow implements Flow {
  #cursor: Cursor | undefined;
  episode: Episode = { after: 0, first: 0, last: 0, live: 0 };
  /** Whether requested frames are not all sent yet. */
  is_sending = false;
  /** How often the connection got another cursor; frames requested earlier are not sent. */
  rewinds = 0;

  get is_live(): boolean {
    return this.#cursor === undefined;
  }

  get lag_bytes(): number {
    return this.#cursor?.lag_bytes ?? 0;
  }

  get lag_messages(): number {
    return this.#cursor?.lag_messages ?? 0;
  }

  /** Continues from this cursor, once frames are requested. */
  rewind(cursor: Cursor): void {
    this.#cursor = cursor;
    this.is_sending = false;
    this.rewinds++;
    this.episode = { after: cursor.offset, first: 0, last: 0, live: 0 };
  }

  continueAs(): Episode {
    const { after, last, live } = this.episode;
    return this.episode = { after: Math.max(after, last), first: 0, last: 0, live };
  }

  /** The next message that the connection missed; undefined if there is none: it is live then. */
  next(): Entry | undefined {
    const entry = this.#cursor?.next();
    if (entry === undefined) {
      this.#cursor = undefined;
      return undefined;
    }
    const { episode } = this;
    if (episode.first === 0) episode.first = entry.offset;
    episode.last = entry.offset;
    return entry;
  }

  finish(): void {
    this.#cursor = undefined;
  }

  noteLive(position: number): void {
    if (this.is_live && this.episode.live === 0) this.episode.live = position;
  }
}
