/**
 * A loop that begins with what a durable room has stored: `replay` of `@arqon/sdk/history`. The room is heard meanwhile, but stored messages come from the history, page by
 * page as the loop takes them. Where the history ends a SUB brings the rest, as after a reconnect.
 * Sends nothing itself: that is `subscriptions.ts`.
 */
import { POLL_MS } from "../wire/bounds.ts";
import type { Uint64 } from "@arqon/proto";
import { atLeastOne } from "../options/options.ts";
import { checkPosition } from "../durable/position.ts";
import { tellReady } from "./room_entry.ts";
import type { RoomEntry } from "./room_entry.ts";
import { history } from "../request/history.ts";
import type { HistoryOptions, RoomHistory } from "../request/history.ts";
import type { CommandRoom } from "../request/room_request.ts";
import { sleep } from "../time/sleep.ts";
import type { Beginning } from "./subscription.ts";

/** Where a loop begins: exactly one of the three. */
export interface ReplayOptions {
  /**
   * "start": with the oldest message that is kept. A number: right after the message with this offset; 0 is
   * "start".
   */
  readonly from?: "start" | Uint64;
  /** With so many of the newest stored messages; at least 1. */
  readonly last?: number;
  /**
   * With the messages behind the newest one that is older than this, by the bus's clock. In ms, or a whole number
   * with its unit, s, m, h or d: "30s", "10m", "2h", "7d".
   */
  readonly since?: number | string;
}

/** At some message of the history. */
interface Start {
  /** Only messages behind this offset are wanted. */
  readonly from: Uint64;
  readonly last: number;
  /** Only messages younger than this are wanted, in ms. */
  readonly age_ms: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/**
 * A beginning with what a durable room has stored, for `subscribe`, `listen` and what is made of them: then comes
 * what is published, without a hole and without a repeat. What is stored is read as the loop takes it, however
 * much it is. Throws TypeError for options that say nothing, or contradict each other.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { replay } from "@arqon/sdk/history";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * for await (const message of bus.room("orders-7").subscribe({ begin: replay({ last: 10 }) })) {
 *   console.log(message.offset, message.text());
 * }
 * ```
 */
export function replay(options: ReplayOptions): Beginning {
  const start = startOf(options);
  return (entry, room, now_ms) => giveStored(entry, room, start, now_ms);
}

function startOf(options: ReplayOptions): Start {
  const { from, since } = options;
  const ways = [from, options.last, since];
  if (ways.filter((way) => way !== undefined).length !== 1) {
    throw new TypeError("replay takes one of from, last and since");
  }
  const offset = from === undefined || from === "start" ? 0 : from;
  // An offset without its epoch is one of the present epoch, and 0 its beginning.
  checkPosition({ offset, epoch: "present" });
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(`${since}`) ?? [];
  const age_ms = count ? Number(count) * UNITS_MS[unit]! : since ?? Infinity;
  if (typeof age_ms === "string") throw new TypeError(`since is ${since}; expected ms or "10m"`);
  const { last } = atLeastOne({ ...options, since: age_ms }, { last: Infinity, since: 1 });
  return { from: offset, last, age_ms };
}

/**
 * The offset behind which the first wanted message comes; searches backwards from the newest one.
 */
async function find(
  read: (query: HistoryOptions) => Promise<RoomHistory>,
  { from, last }: Start,
  oldest_ms: number,
): Promise<number> {
  let [after, before, left] = [Number(from), 0, last];
  for (let more = last < Infinity || oldest_ms > -Infinity; more;) {
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
async function giveStored(
  entry: RoomEntry,
  room: CommandRoom,
  start: Start,
  now_ms: number,
): Promise<void> {
  const { readers, over: { signal } } = entry;
  const read = (query: HistoryOptions) =>
    history(room, { ...query, ...entry.terms }, {
      signal,
      command_id: "replay",
      timeout_ms: Infinity,
    });
  entry.replay = "find";
  let after = await find(read, start, now_ms - start.age_ms);
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
