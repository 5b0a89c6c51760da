/** A page goes on from PostgreSQL with a room (docs/bridge.md): `@arqon/sdk/postgres`. */
import { history } from "./request/history.ts";
import type { Message } from "./message/message.ts";
import type { Room } from "./room/room.ts";
import { replay } from "./subscription/replay.ts";
import type { SubscribeOptions } from "./subscription/subscription.ts";

/** What `subscribeSince` takes: where the loop begins is `taken`. */
export type SinceOptions = Omit<SubscribeOptions, "position" | "begin">;

/** `arqon.position()`: the place in the log, the snapshot, and the database's clock. */
interface Taken {
  /** Ids of transactions below are over, but for those of `open`; those from `next` on had not begun. */
  readonly next: bigint;
  readonly open: ReadonlySet<string>;
  readonly lowest: bigint;
  /** Unix ms. */
  readonly at_ms: number;
}

/** What a transaction sees may be so much out of the order of commits, and a clock may be set, in ms. */
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

/** Whether the queries have seen the transaction with this id, which has 32 bits where a snapshot's has 64. */
function isSeen(xid: string, { lowest, next, open }: Taken): boolean {
  let id = (next & ~0xffff_ffffn) | BigInt(xid);
  // Whichever is nearer: one of the wrap before, or one that began later.
  if (id >= next + 0x8000_0000n) id -= 0x1_0000_0000n;
  else if (id + 0x8000_0000n < next) id += 0x1_0000_0000n;
  if (id >= next) return false;
  return id < lowest || !open.has(String(id));
}

/** When it was committed, or, past the database, stored. */
const timeOf = ({ headers, timestamp_ms }: Message): number =>
  Number(headers["pg-commit-ms"] ?? timestamp_ms);

function isNew(message: Message, taken: Taken): boolean {
  const time_ms = timeOf(message);
  const { "pg-xid": xid = "" } = message.headers;
  // Long after, nothing can have been seen, and ids begin anew one day.
  if (message.signal !== undefined || time_ms > taken.at_ms + MARGIN_MS) return true;
  // What came past the database is no part of what the page has loaded.
  return /^\d{1,10}$/.test(xid) ? !isSeen(xid, taken) : time_ms >= taken.at_ms;
}

/** Where to begin, so that nothing that is new is left out. */
async function beginOf(
  room: Pick<Room, "id" | "command">,
  { at_ms }: Taken,
): Promise<Pick<SubscribeOptions, "begin" | "position">> {
  for (let before = 0;;) {
    const page = await history(room, { reverse: true, before });
    for (const message of page.messages) {
      // The room must still have this one when the loop begins, or the loop finds a GAP.
      if (timeOf(message) < at_ms - MARGIN_MS) {
        return { begin: replay({ from: message.offset }) };
      }
      before = Number(message.offset);
    }
    if (page.more) continue;
    // There is none so old: the room is young, or has let go what was there. The bus knows which.
    return Number(page.offset) === 0
      ? { begin: replay({ from: "start" }) }
      : { position: { offset: 0, epoch: page.epoch } };
  }
}

/**
 * The messages of a durable room that the queries of a transaction have not seen, then what comes: no hole, no
 * repeat. `taken` is what `select arqon.position()` gave in that transaction, `repeatable read`, before or after the
 * queries. When not everything since is available, the loop begins with a GAP: load the page anew. TypeError for a
 * text that is no position, the errors of `history` and `Room.subscribe` otherwise.
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
