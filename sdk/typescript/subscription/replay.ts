/** Reads the stored messages of a durable room, and begins a loop with them, read as the loop consumes them. */
import { readHistory, readRouted, writeHistoryQuery } from "@arqon/proto";
import type { HistoryQuery, Uint64 } from "@arqon/proto";
import { POLL_MS } from "../wire/bounds.ts";
import { malformed, textOf } from "../wire/wire_error.ts";
import { atLeastOne } from "../options/options.ts";
import { checkPosition, type Place } from "../durable/position.ts";
import { Message } from "../message/message.ts";
import type { CommandOptions, CommandRoom } from "../request/room_request.ts";
import { sleep } from "../time/clock.ts";
import { tellReady } from "./room_entry.ts";
import type { Beginning, ReplayedRoom } from "./subscription.ts";

/** Which messages to read, all optional. Default: the oldest 100 stored ones. */
export type HistoryOptions = Readonly<Partial<HistoryQuery>>;

/** Messages of a durable room, and the room's position. */
export interface RoomHistory {
  /** The messages in the order of their offsets; with `reverse` the newest first. */
  readonly messages: Message[];
  /** The room's present position: the offset of its last message. */
  readonly offset: Uint64;
  readonly epoch: string;
  /** True if there are more in this direction: call again with the offset of the last one. */
  readonly more: boolean;
}

/**
 * Reads stored messages of a durable room without a subscription. Needs the grant `subscribe`; rejects with
 * `not-durable`, `log-unavailable`, and a TypeError for an invalid number.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { history } from "@arqon/sdk/history";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const { messages } = await history(bus.room("orders-7"), { limit: 20, reverse: true });
 * for (const message of messages) console.log(message.offset, message.text());
 * ```
 */
export async function history(
  room: CommandRoom,
  query: HistoryOptions = {},
  options: CommandOptions = {},
): Promise<RoomHistory> {
  const request_options = { ...options, content_type: "application/protobuf" };
  const { bytes } = await room.command("history.get", writeHistoryQuery(query), request_options);
  try {
    const { messages, ...rest } = readHistory(bytes);
    return {
      ...rest,
      messages: messages.map((envelope) => new Message(readRouted(envelope), rest.epoch)),
    };
  } catch (error) {
    throw malformed(`history: ${textOf(error)}`);
  }
}

/** Where a loop begins: exactly one of the three. */
export interface ReplayOptions {
  /** "start" or 0: with the oldest stored message. An offset: directly after that message. */
  readonly from?: "start" | Uint64;
  /** With this many of the newest stored messages; at least 1. */
  readonly last?: number;
  /**
   * With the messages after the newest one that is older than this, by the bus's clock. In ms, or a whole number with a
   * unit, s, m, h or d: "30s", "10m", "2h", "7d".
   */
  readonly since?: number | string;
}

/** A starting point in the history. */
interface Start {
  /** Only messages after this offset. */
  readonly from: Uint64;
  readonly last: number;
  /** Only messages younger than this, in ms. */
  readonly age_ms: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/**
 * Begins with the stored messages of a durable room, for `subscribe`, `listen` and their variants: new messages follow
 * without a gap and without duplicates. Stored messages are read as the loop consumes them, in any number. Throws
 * TypeError for missing or conflicting options.
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
  return giveStored.bind(undefined, startOf(options));
}

function startOf(options: ReplayOptions): Start {
  const { from, since } = options;
  const ways = [from, options.last, since];
  if (ways.filter((way) => way !== undefined).length !== 1) {
    throw new TypeError("replay takes one of from, last and since");
  }
  const offset = from === undefined || from === "start" ? 0 : from;
  // An offset without an epoch belongs to the present epoch, and 0 is its beginning.
  checkPosition({ offset, epoch: "present" });
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(`${since}`) ?? [];
  const age_ms = count ? Number(count) * UNITS_MS[unit]! : since ?? Infinity;
  if (typeof age_ms === "string") throw new TypeError(`since is ${since}; expected ms or "10m"`);
  const { last } = atLeastOne({ ...options, since: age_ms }, { last: Infinity, since: 1 });
  return { from: offset, last, age_ms };
}

/** The offset before the first requested message; searches from the newest one. */
async function find(
  read: (query: HistoryOptions) => Promise<RoomHistory>,
  { from, last }: Start,
  oldest_ms: number,
): Promise<number> {
  let after = Number(from);
  let before = 0;
  let left = last;
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

/** The used part of a page. */
interface Page extends Pick<RoomHistory, "epoch" | "more"> {
  readonly messages: readonly Pick<Message, "offset" | "id">[];
}

/**
 * The progress of reading the history of one room. Pure: decides which page comes next, and whether it continues the
 * previous one. While the previous page's last message is stored, nothing after it was removed, so each page begins
 * with that message; in another epoch of the log, after a restart, it has the same id.
 */
export class Reading {
  readonly #place: Place;
  #last: number;
  #id: string | undefined;
  #epoch: string | undefined;
  /** The next page begins after this offset. */
  after: number;

  /** Begins after the message with this offset; `is_kept`: it must still be stored. */
  constructor(place: Place, last: number, is_kept: boolean) {
    this.#place = place;
    this.#last = last;
    this.after = is_kept ? last - 1 : last;
  }

  /** Adds a page. False if it does not continue the last one: the SUB's answer decides. */
  take({ messages, epoch, more }: Page): boolean {
    const [first] = messages;
    const known = this.#epoch ?? epoch;
    const is_same = known === epoch || this.#id === first?.id;
    const fits = this.after < this.#last
      ? is_same && Number(first?.offset) === this.#last
      : !more || !!first;
    this.#place.read(this.#last, fits ? epoch : known, fits);
    this.#epoch = epoch;
    const last = messages.at(-1);
    if (last) {
      // Messages that a backend wrote directly to the log have no id.
      this.#id = last.id || undefined;
      this.#last = Number(last.offset);
      this.after = this.#last - 1;
    }
    return fits;
  }
}

/**
 * Delivers stored messages to the loops, up to the position of the next SUB; keeps reading while the loops are behind,
 * because a SUB delivers the rest at once. Rejects with the refusal of the history.
 */
async function giveStored(
  start: Start,
  entry: ReplayedRoom,
  room: CommandRoom,
  now_ms: number,
): Promise<void> {
  const { place, readers, over: { signal } } = entry;
  const read = (query: HistoryOptions) =>
    history(room, { ...query, ...entry.terms }, {
      signal,
      command_id: "replay",
      timeout_ms: Infinity,
    });
  place.reading = true;
  const reading = new Reading(
    place,
    await find(read, start, now_ms - start.age_ms),
    start.from > 0,
  );
  for (let is_due = true; is_due;) {
    const page = await read({ after: reading.after });
    if (!reading.take(page)) return;
    tellReady(entry);
    is_due = page.more;
    for (const message of page.messages) {
      if (!place.deliver(message.offset)) continue;
      while (!signal.aborted && [...readers].some(({ buffer }) => buffer.isFull(0, 0.5))) {
        is_due = true;
        await sleep(POLL_MS, signal);
      }
      for (const { buffer } of readers) buffer.push(message);
    }
    signal.throwIfAborted();
    if (!is_due) place.read(page.offset, page.epoch, false);
  }
}
