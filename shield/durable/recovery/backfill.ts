/**
 * Reads older messages of a room, from a position up to where the room's list begins. It reads until it meets the list:
 * so a stale replica is distinguished from a room without more messages, and no message between the two is missed.
 * `recoveries.ts` uses the messages.
 */
import type { LogPage } from "../../../shared/spine/contract/durable_log.ts";
import { fromLog } from "../messages/message.ts";
import { type Chain, joinPage, type RecoverableRoom, type RecoveryBounds } from "./recovery.ts";
import type { StoredMessage, Timeline } from "../messages/timeline.ts";

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
