/**
 * A loop that begins with what a durable room has stored: `from`, `last` and `since` of
 * `Room.subscribe`. The room is heard meanwhile, but stored messages come from the history, page by
 * page as the loop takes them. Where the history ends a SUB brings the rest, as after a reconnect.
 * Sends nothing itself: that is `subscriptions.ts`.
 */
import { POLL_MS } from "../wire/bounds.ts";
import type { Uint64 } from "@arqon/proto";
import type { HistoryOptions, RoomHistory } from "../durable/history.ts";
import { atLeastOne } from "../options/options.ts";
import { checkPosition } from "../durable/position.ts";
import type { Position } from "../durable/position.ts";
import { tellReady } from "./room_entry.ts";
import type { RoomEntry } from "./room_entry.ts";
import type { CommandOptions } from "../request/room_request.ts";
import { sleep } from "../time/sleep.ts";
import type { StatefulRoom } from "../state/state_repair.ts";
import type { SubscribeOptions } from "./subscription.ts";

/** The part of a room that gives its stored messages. */
export interface StoredRoom extends StatefulRoom {
  history(query: HistoryOptions, options: CommandOptions): Promise<RoomHistory>;
}

/** Where a loop begins: at a position, or at some message of the history. */
export interface Start {
  readonly position?: Position | undefined;
  /** Only messages behind this offset are wanted. */
  readonly from: Uint64;
  readonly last: number;
  /** Only messages younger than this are wanted, Unix ms. */
  readonly oldest_ms: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/**
 * Where the options begin; undefined: now. Throws TypeError for options that contradict each other.
 */
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

/**
 * The offset behind which the first wanted message comes; searches backwards from the newest one.
 */
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
 * Gives the loops what is stored, and leaves the room at the position from which the next SUB has
 * to ask. It stops where nobody can say that nothing is missing: the answer to that SUB tells.
 * Rejects with the error with which the history is refused.
 */
export async function replay(
  entry: RoomEntry,
  start: Start,
  room: StoredRoom,
): Promise<void> {
  const { readers, over: { signal } } = entry;
  const read = (query: HistoryOptions) =>
    room.history({ ...query, ...entry.terms }, {
      signal,
      command_id: "replay",
      timeout_ms: Infinity,
    });
  entry.replay = "find";
  let after = await find(read, start);
  let epoch: string | undefined;
  /** True while the message at `after` is kept: as long as it is, nothing behind it is gone. */
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
