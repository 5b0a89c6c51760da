/**
 * Reads older messages of a room, from a position up to where the room's list begins. It reads until it
 * meets the list: a replica that is behind can then be told from a room that has no more, and nothing
 * is left out between the two. What is done with the messages is `recoveries.ts`.
 */
import type { LogPage } from "../../../shared/spine/contract/durable_log.ts";
import type { LogCalls } from "../log/log_calls.ts";
import { fromLog } from "../messages/message.ts";
import { joinPage } from "./recovery.ts";
import type { Chain, RecoveryBounds } from "./recovery.ts";
import type { StoredMessage, Timeline } from "../messages/timeline.ts";

/**
 * How often a replica that is behind is asked again, with a longer pause each time; after that the log
 * itself is asked.
 */
export const LAG_TRIES = 3;
const LAG_PAUSE_MS = 20;

/** How long to wait before a replica is asked for the `tries`-th time again, in ms. */
export function lagPauseMs(tries: number): number {
  return Math.min(LAG_PAUSE_MS * 3 ** Math.min(tries, 8), 1_000);
}

/** The room whose older messages are read, as it stands at each moment. */
export interface BackfilledRoom {
  readonly stream: string;
  readonly timeline: Timeline;
  /**
   * Grows with every hole and every epoch: a list from before then has no place in the room any longer.
   */
  readonly gaps: number;
  readonly calls: LogCalls;
  /**
   * Asks the log how far the room is. Resolves with the list that was compared, or with undefined once
   * the room is closed.
   */
  verify(): Promise<Timeline | undefined>;
  /** Takes note that messages were erased up to there. */
  forgetErased(offset: number): void;
}

/**
 * What a backfill came to. `over`: after the position there is more than the bounds allow, too much for
 * one SUB or more than the class keeps. `behind`: no replica has what the list begins with yet.
 * `stale`: the room was closed, or its list has been replaced.
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
  room: BackfilledRoom,
  target: number,
  bounds: RecoveryBounds,
): Promise<Backfill> {
  const { gaps } = room;
  let chain: Chain = { messages: [], complete: true };
  let after = target;
  for (let tries = 0;;) {
    const page = await room.calls.read("recovery", after);
    if (page === undefined || room.gaps !== gaps) return { outcome: "stale" };
    if (page.stream !== room.stream) return await otherStream(room);
    // The room knows it from now on, and judges by it.
    if (page.erased !== undefined) {
      room.forgetErased(page.erased);
      return { outcome: "stale" };
    }
    const { first } = room.timeline;
    const messages = page.messages.map(fromLog);
    chain = messages.length > 0 ? joinPage(chain, page, before(messages, first)) : chain;
    if (first === undefined) {
      if (!page.more) return read(room, ofEmptyRoom(chain, page));
    } else if ((messages.at(-1)?.offset ?? 0) >= first.offset) {
      return read(room, chain);
    }
    const reason = excess(chain, room.timeline, bounds);
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

function read({ gaps, timeline }: BackfilledRoom, chain: Chain): Backfill {
  return { outcome: "read", chain, gaps, until: timeline.first?.offset ?? 0 };
}

function before(
  messages: readonly StoredMessage[],
  first: StoredMessage | undefined,
): readonly StoredMessage[] {
  return first === undefined ? messages : messages.filter(({ offset }) => offset < first.offset);
}

/**
 * The chain when the log had no message of the room: what a replica still has is about to be removed.
 */
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

async function otherStream(room: BackfilledRoom): Promise<Backfill> {
  await room.verify();
  return { outcome: "stale" };
}

/**
 * Tells why no replica shows where the list begins: it is behind, or the log has removed all that is
 * older.
 */
async function isGone(room: BackfilledRoom, gaps: number): Promise<Backfill> {
  const head = await room.calls.head("lag");
  if (head === undefined || room.gaps !== gaps) return { outcome: "stale" };
  if (head.stream !== room.stream) return await otherStream(room);
  const begins = room.timeline.first?.offset ?? 0;
  if ((head.last?.offset ?? 0) >= begins) return { outcome: "behind" };
  return read(room, { messages: [], complete: false });
}
