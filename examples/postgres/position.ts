/**
 * A page that has loaded its state from PostgreSQL goes on with a durable room, without a hole: from the position
 * that `arqon.position()` gave in the transaction of its queries.
 */
import type { Message, Position, Room } from "@arqon/sdk";

/** The bridge publishes in the order of commits; what a transaction sees may be so much out of that order, in ms. */
const MARGIN_MS = 60_000;

/**
 * Whether the page's queries have seen the transaction that published a message. `xid`: its header `pg-xid`;
 * `position`: `LOG PLACE;XMIN:XMAX:XIP,...;UNIX MS`.
 */
export function isSeen(xid: string, position: string): boolean {
  const [, snapshot = ""] = position.split(";");
  const [xmin = "0", xmax = "0", open = ""] = snapshot.split(":");
  const [low, high] = [BigInt(xmin), BigInt(xmax)];
  // Ids in the log have 32 bits; those of a snapshot go on counting.
  let id = (high & ~0xffff_ffffn) | BigInt(xid);
  if (id >= high + 0x8000_0000n) id -= 0x1_0000_0000n;
  if (id >= high) return false;
  return id < low || !open.split(",").includes(String(id));
}

/** What the room has had that the queries have not seen, and the position to subscribe from. */
export async function sincePosition(
  room: Pick<Room, "history">,
  taken: string,
): Promise<{ readonly messages: Message[]; readonly position: Position }> {
  const taken_ms = Number(taken.split(";")[2]);
  const messages: Message[] = [];
  let position: Position | undefined;
  for (let before: number | undefined;;) {
    const page = await room.history({ reverse: true, ...(before === undefined ? {} : { before }) });
    position ??= { offset: page.offset, epoch: page.epoch };
    for (const message of page.messages) {
      const { "pg-commit-ms": commit_ms = message.timestamp_ms, "pg-xid": xid } = message.headers;
      if (Number(commit_ms) < taken_ms - MARGIN_MS) return { messages, position };
      // What came past the database is no part of what the page has loaded.
      const is_new = xid === undefined ? Number(commit_ms) >= taken_ms : !isSeen(xid, taken);
      if (is_new) messages.unshift(message);
      before = Number(message.offset);
    }
    if (!page.more) return { messages, position };
  }
}
