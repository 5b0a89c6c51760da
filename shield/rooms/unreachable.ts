/**
 * Which stored messages nobody could reach any longer with other classes of rooms: those of rooms that are not durable
 * then, or have lost their reducer or their journal of members, and those beyond a shorter history. It changes nothing.
 */
import type { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { recordedRoomOf } from "../../shared/rooms/members_room.ts";
import { reducedRoomOf } from "../../shared/rooms/reducer_room.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";

/** Rooms that are looked at, at most. */
const ROOMS_MAX = 100_000;
/** Questions to the log about single rooms, at most: then rooms are counted, and their messages are not. */
const QUESTIONS_MAX = 3_000;
const PAGE = 1_000;
/** Rooms that are named. */
const NAMED = 20;

/** What is asked of a tenant's log. */
export type AskedLog = Pick<DurableLog, "rooms" | "count" | "head" | "read" | "now">;

/** Rooms, and messages in them. */
export interface Lost {
  readonly rooms: number;
  readonly messages: number;
}

/** What could no longer be reached. */
export interface Unreachable {
  /** Rooms of which nothing could be read. */
  readonly hidden: Lost;
  /** Rooms with a shorter history: what is beyond it is deleted. */
  readonly cut: Lost;
  /** The first of both. */
  readonly named: readonly { readonly room: string; readonly messages: number }[];
  /** There are more rooms, or messages that were not counted. */
  readonly more: boolean;
}

/** How the names of rooms begin whose class may be another one then. */
function prefixesOf(
  before: readonly TenantRoomClass[],
  after: readonly TenantRoomClass[],
): string[] {
  const known = new Map(before.map((one) => [one.room, one]));
  const wanted = new Map(after.map((one) => [one.room, one]));
  const changed = [...new Set([...known.keys(), ...wanted.keys()])].filter((room) =>
    canonicalJson(known.get(room)) !== canonicalJson(wanted.get(room))
  );
  const prefixes = [...new Set(changed.map((room) => room.replace(/\*$/, "")))].sort();
  // What begins with a shorter one is listed with it.
  return prefixes.filter((one, at) =>
    !prefixes.slice(0, at).some((first) => one.startsWith(first))
  );
}

type Classes = Pick<RoomClasses, "of">;

/** The classes of one tenant as they are, and as they would be. */
interface Change {
  readonly tenant_id: string;
  readonly before: Classes;
  readonly after: Classes;
}

/** Whether what the room has now could still be read. */
function isReachable({ tenant_id, before, after }: Change, room: string): boolean {
  const classOf = (classes: Classes, one: string) => classes.of(tenant_id, one);
  const reduced = reducedRoomOf(room);
  const reducer = reduced === undefined ? undefined : classOf(before, reduced).reducer;
  if (reduced !== undefined && reducer !== undefined) {
    return classOf(after, reduced).reducer === reducer;
  }
  const recorded = recordedRoomOf(room);
  if (recorded !== undefined && classOf(before, recorded).membership !== "off") {
    return classOf(after, recorded).membership !== "off";
  }
  return classOf(after, room).durable;
}

/** Counts messages of single rooms for as long as it may ask. */
class Counting {
  readonly #log: AskedLog;
  #left = QUESTIONS_MAX;

  constructor(log: AskedLog) {
    this.#log = log;
  }

  get is_over(): boolean {
    return this.#left <= 0;
  }

  /** Messages of a room that its class lets read. */
  async visible(room: string, one: RoomClass, with_age: boolean): Promise<number> {
    const from = with_age ? await this.#firstSince(room, one.history_ttl_seconds) : 0;
    this.#left--;
    return Math.min(await this.#log.count(room, from), one.history_size);
  }

  /** The offset from which on messages are younger, by bisection: times grow with offsets. */
  async #firstSince(room: string, age_seconds: number): Promise<number> {
    const since_ms = this.#log.now() - 1_000 * age_seconds;
    const { last } = await this.#log.head(room);
    let [low, high] = [0, (last?.offset ?? 0) + 1];
    while (low + 1 < high) {
      const middle = Math.floor((low + high) / 2);
      const bounds = { after: middle - 1, limit: 1, max_bytes: 1 };
      const [found] = (await this.#log.read(room, bounds)).messages;
      this.#left--;
      if (found === undefined || found.time_ms >= since_ms) high = middle;
      else low = found.offset;
    }
    return high;
  }
}

async function* roomsOf(log: AskedLog, prefixes: readonly string[]): AsyncGenerator<string> {
  for (const prefix of prefixes) {
    for (let after = "";;) {
      const { rooms, more } = await log.rooms({ prefix, after, limit: PAGE });
      yield* rooms;
      if (!more) break;
      after = rooms.at(-1) ?? "";
    }
  }
}

/** What of the tenant's stored messages could no longer be reached. Rejects as the log does. */
export async function unreachable(
  log: AskedLog,
  change: Change,
  rooms: {
    readonly before: readonly TenantRoomClass[];
    readonly after: readonly TenantRoomClass[];
  },
): Promise<Unreachable> {
  const counting = new Counting(log);
  const hidden = { rooms: 0, messages: 0 };
  const cut = { rooms: 0, messages: 0 };
  const named: { room: string; messages: number }[] = [];
  const tell = (of: typeof hidden, room: string, messages: number) => {
    of.rooms++;
    of.messages += messages;
    if (named.length < NAMED) named.push({ room, messages });
  };
  let looked = 0;
  for await (const room of roomsOf(log, prefixesOf(rooms.before, rooms.after))) {
    if (looked++ >= ROOMS_MAX) break;
    const [now, then] = [change.before, change.after].map((one) => one.of(change.tenant_id, room));
    if (now === undefined || then === undefined || now === then || !now.durable) continue;
    const with_age = then.history_ttl_seconds < now.history_ttl_seconds;
    const reaches = isReachable(change, room);
    const is_shorter = with_age || then.history_size < now.history_size;
    if (reaches && !is_shorter) continue;
    if (counting.is_over) {
      if (!reaches) tell(hidden, room, 0);
      continue;
    }
    const messages = await counting.visible(room, now, reaches && with_age);
    if (!reaches) tell(hidden, room, messages);
    else {
      const lost = messages - await counting.visible(room, then, with_age);
      if (lost > 0) tell(cut, room, lost);
    }
  }
  return { hidden, cut, named, more: looked > ROOMS_MAX || counting.is_over };
}
