/** Continues from PostgreSQL queries with a room's messages (docs/bridge.md): `@arqon/sdk/postgres`. */
import { history, replay } from "./subscription/replay.ts";
import type { Message } from "./message/message.ts";
import type { Room } from "./room/room.ts";
import type { SubscribeOptions } from "./subscription/subscription.ts";

/** Options of `subscribeSince`; `taken` sets where the loop begins. */
export type SinceOptions = Omit<SubscribeOptions, "position" | "begin">;

/** `arqon.position()`: the position in the log, the snapshot, and the database's clock. */
interface Taken {
  /** Transactions with lower ids have ended, except those in `open`; those from `next` on had not begun. */
  readonly next: bigint;
  readonly open: ReadonlySet<string>;
  readonly lowest: bigint;
  /** Unix ms. */
  readonly at_ms: number;
}

/** Tolerance in ms: visibility may differ from the order of commits by this much, and a clock may be set. */
const MARGIN_MS = 60_000;
const POSITION = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8};(\d{1,20}):(\d{1,20}):([\d,]*);(\d{1,15})$/;

function readTaken(position: string): Taken {
  const [, lowest = "", next = "", open = "", at_ms = ""] = POSITION.exec(position) ?? [];
  if (at_ms === "") {
    const shown = JSON.stringify(position)?.slice(0, 100);
    throw new TypeError(`${shown} is no position; expected what arqon.position() gives`);
  }
  return {
    lowest: BigInt(lowest),
    next: BigInt(next),
    open: new Set(open.split(",")),
    at_ms: Number(at_ms),
  };
}

/** Whether the queries saw the transaction with this id of 32 bits; a snapshot's ids have 64. */
function isSeen(xid: string, { lowest, next, open }: Taken): boolean {
  let id = (next & ~0xffff_ffffn) | BigInt(xid);
  // The nearer of two ids: of the previous wraparound, or of a later transaction.
  if (id >= next + 0x8000_0000n) id -= 0x1_0000_0000n;
  else if (id + 0x8000_0000n < next) id += 0x1_0000_0000n;
  if (id >= next) return false;
  return id < lowest || !open.has(String(id));
}

/** The time of its commit; for messages not from the database, the time of storage. */
const timeOf = ({ headers, timestamp_ms }: Message): number =>
  Number(headers["pg-commit-ms"] ?? timestamp_ms);

function isNew(message: Message, taken: Taken): boolean {
  const time_ms = timeOf(message);
  const { "pg-xid": xid = "" } = message.headers;
  // A much later message cannot have been seen, and ids wrap around some day.
  if (message.signal !== undefined || time_ms > taken.at_ms + MARGIN_MS) return true;
  // Messages not from the database are not part of the queries' result.
  return /^\d{1,10}$/.test(xid) ? !isSeen(xid, taken) : time_ms >= taken.at_ms;
}

/** The position to begin at, so that no new message is omitted. */
async function beginOf(
  room: Pick<Room, "id" | "command">,
  { at_ms }: Taken,
): Promise<Pick<SubscribeOptions, "begin" | "position">> {
  for (let before = 0;;) {
    const page = await history(room, { reverse: true, before });
    for (const message of page.messages) {
      // The room must still have this message when the loop begins, or the loop begins with a GAP.
      if (timeOf(message) < at_ms - MARGIN_MS) {
        return { begin: replay({ from: message.offset }) };
      }
      before = Number(message.offset);
    }
    if (page.more) continue;
    // No message is that old: the room is new, or older messages were removed. The bus knows which.
    return Number(page.offset) === 0
      ? { begin: replay({ from: "start" }) }
      : { position: { offset: 0, epoch: page.epoch } };
  }
}

/**
 * The messages of a durable room that the queries of a transaction have not seen, then new ones: without a gap and
 * without duplicates. `taken` is the result of `select arqon.position()` in that `repeatable read` transaction, before
 * or after the queries. If not all messages since then are available, the loop begins with a GAP: run the queries
 * again. TypeError for an invalid position, otherwise the errors of `history` and `Room.subscribe`.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { subscribeSince } from "@arqon/sdk/postgres";
 *
 * const taken = "0/1A2B3C8;745:747:745;1795606200000";
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * for await (const message of subscribeSince(bus.room("orders-acme"), taken)) {
 *   if (message.signal?.kind === "GAP") break;
 *   console.log(message.json());
 * }
 * ```
 */
export async function* subscribeSince(
  room: Pick<Room, "id" | "command" | "subscribe">,
  taken: string,
  options: SinceOptions = {},
): AsyncGenerator<Message, void, undefined> {
  const position = readTaken(taken);
  const begin = await beginOf(room, position);
  using subscription = room.subscribe({ ...options, ...begin });
  for await (const message of subscription) {
    if (isNew(message, position)) yield message;
  }
}
