/**
 * A loop that begins with what a durable room has stored: `from`, `last` and `since` of
 * `Room.subscribe`. The room is heard meanwhile, but what is stored comes from the history, page by page
 * as the loop takes it. From where that ends a SUB brings the rest, as after a reconnect. Sends nothing
 * itself: that is `subscriptions.ts`.
 */
import { POLL_MS } from "./bounds.ts";
import type { Uint64 } from "@arqon/proto";
import type { HistoryOptions, RoomHistory } from "./history.ts";
import { atLeastOne } from "./options.ts";
import { checkPosition } from "./position.ts";
import type { Position } from "./position.ts";
import { tellReady } from "./room_entry.ts";
import type { RoomEntry } from "./room_entry.ts";
import type { CommandOptions } from "./room_request.ts";
import { sleep } from "./sleep.ts";
import type { SubscribeOptions } from "./subscription.ts";

/** The part of a room that tells what it has stored. */
export interface StoredRoom {
  readonly id: string;
  history(query: HistoryOptions, options: CommandOptions): Promise<RoomHistory>;
}

/** Where a room is heard from on: a position, or what of the history comes first. */
export interface Start {
  readonly position?: Position | undefined;
  /** Only what is behind this offset. */
  readonly from: Uint64;
  readonly last: number;
  /** Unix ms. */
  readonly oldest_ms: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** Undefined: from now on. Throws TypeError. */
export function startOf(options: SubscribeOptions, now_ms: number): Start | undefined {
  const { from = 0, since, position } = options;
  const ways = [options.from, options.last, since, position];
  const given = ways.filter((way) => way !== undefined).length;
  if (given === 0) return undefined;
  if (given > 1) throw new TypeError("one of from, last, since and position");
  const offset = from === "start" ? 0 : from;
  // An offset without its epoch is one of the present epoch, and 0 its beginning.
  checkPosition(position ?? { offset, epoch: "present" });
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(`${since}`) ?? [];
  const age_ms = count ? Number(count) * UNITS_MS[unit]! : since ?? now_ms;
  if (typeof age_ms === "string") throw new TypeError(`since is ${since}; expected ms or "10m"`);
  const { last } = atLeastOne({ ...options, since: age_ms }, { last: Infinity, since: 1 });
  return { position, from: offset, last, oldest_ms: now_ms - age_ms };
}

/** The offset behind which the first wanted message comes; goes back from the newest one. */
async function find(
  read: (query: HistoryOptions) => Promise<RoomHistory>,
  { from, last, oldest_ms }: Start,
): Promise<number> {
  let [after, before, left] = [Number(from), 0, last];
  for (let more = last < Infinity || oldest_ms > 0; more;) {
    const page = await read({ before, reverse: true });
    more = page.more;
    after ||= Number(page.offset);
    for (const { offset, timestamp_ms } of page.messages) {
      if (left-- <= 0 || timestamp_ms < oldest_ms) return after;
      before = Number(offset);
      after = before - 1;
    }
  }
  return after;
}

/**
 * Gives the loops what is stored, and leaves the room at the place from which the next SUB has to ask.
 * Where nobody can say that nothing is missing it stops: the answer to that SUB tells. Rejects with what
 * the history is refused with.
 */
export async function replay(
  entry: RoomEntry,
  start: Start,
  room: StoredRoom,
): Promise<void> {
  const { readers, over: { signal } } = entry;
  const read = (query: HistoryOptions) =>
    room.history(query, { signal, command_id: "replay", timeout_ms: Infinity });
  entry.replay = "find";
  let after = await find(read, start);
  let epoch: string | undefined;
  /** The message at `after` was there: as long as it is, nothing behind it is gone. */
  let is_kept = start.from > 0;
  for (let more = true; more;) {
    const page = await read({ after: is_kept ? after - 1 : after });
    epoch ??= page.epoch;
    entry.replay = "read";
    tellReady(entry);
    if (epoch !== page.epoch || (is_kept && Number(page.messages[0]?.offset) !== after)) break;
    entry.place.jump(after, epoch);
    for (const message of page.messages) {
      if (!entry.place.deliver(message.offset)) continue;
      while (!signal.aborted && ![...readers].every(({ buffer }) => buffer.hasSpace)) {
        await sleep(POLL_MS, signal);
      }
      for (const { buffer } of readers) buffer.push(message);
    }
    more = page.more;
    is_kept = true;
    after = Number(more ? page.messages.at(-1)?.offset : page.offset);
  }
  signal.throwIfAborted();
  entry.place.jump(after, epoch!);
  entry.replay = undefined;
}
