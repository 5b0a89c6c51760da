/**
 * Who has left this Shield and may not be in the journal of the room's members yet: kept until the room's Brain says
 * that it is written, and told with each heartbeat. So who comes and goes while no Brain serves, or is about to be
 * written by one that is killed, is there all the same. What is too much is kept as a number, for its room.
 */
import { FairMap } from "../../shared/containers/fair_map.ts";
import type { MissedStays, Stay, Stays, StaysWritten } from "../../shared/presence/messages.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Entry, Tag, Writer } from "../../shared/presence/types.ts";

/** Members that left and wait; with more, the first of a tenant with many becomes one of its room's missed ones. */
export const STAYS_MAX = 10_000;
/** Rooms with missed ones; of a further room they are only counted in a metric. */
export const MISSED_ROOMS_MAX = 1_000;
/** In one message, and with one heartbeat. */
const MESSAGE_STAYS = 256;
const HEARTBEAT_STAYS = 2_048;

/** The outcome of what did not fit. */
export interface StaysStats {
  stays: number;
  stays_missed: number;
}

const keyOf = ({ writer, counter }: Tag): string => `${writerKey(writer)}/${counter}`;
const roomOf = ({ tenant_id, room_id }: Pick<Entry, "tenant_id" | "room_id">): string =>
  `${tenant_id}/${room_id}`;

/** The stays of one Shield that nobody has confirmed. */
export class Unconfirmed {
  readonly #stats: StaysStats;
  /** Those that wait longest to be reported first. */
  readonly #stays = new FairMap<Stay>(STAYS_MAX, ({ entry }) => entry.tenant_id);
  readonly #missed = new Map<string, MissedStays>();

  constructor(stats: StaysStats) {
    this.#stats = stats;
  }

  add(writer: Writer, entry: Entry, cause: LeaveReason, now_ms: number): Stay {
    const stay = { writer, entry: { ...entry, meta: "", changed_ms: now_ms }, cause };
    const dropped = this.#stays.set(keyOf({ writer, counter: entry.counter }), stay);
    if (dropped !== undefined) this.#miss(dropped.entry);
    this.#count();
    return stay;
  }

  /** What is to be reported now, the oldest first, in messages that are not too long. */
  *told(): Generator<Stays> {
    const missed = [...this.#missed.values()];
    const due = [...this.#stays.entries().take(HEARTBEAT_STAYS)];
    // Those of a room whose journal takes nothing must not keep others from being told.
    for (const [key, stay] of due) this.#stays.set(key, stay);
    const stays = due.map(([, stay]) => stay);
    while (stays.length > 0 || missed.length > 0) {
      yield {
        kind: "stays",
        stays: stays.splice(0, MESSAGE_STAYS),
        missed: missed.splice(0, MESSAGE_STAYS),
      };
    }
  }

  /** A Brain has written them, or need not. */
  confirmed({ stays, missed }: Pick<StaysWritten, "stays" | "missed">): void {
    for (const tag of stays) this.#stays.delete(keyOf(tag));
    for (const { count, to_ms, ...room } of missed) {
      const known = this.#missed.get(roomOf(room));
      if (known === undefined) continue;
      // More may have come since.
      const rest = known.count - count;
      if (rest <= 0) this.#missed.delete(roomOf(room));
      else this.#missed.set(roomOf(room), { ...known, count: rest, from_ms: to_ms });
    }
    this.#count();
  }

  #miss({ tenant_id, room_id, joined_ms, changed_ms }: Entry): void {
    this.#stats.stays_missed++;
    const key = roomOf({ tenant_id, room_id });
    const known = this.#missed.get(key);
    if (known === undefined && this.#missed.size >= MISSED_ROOMS_MAX) return;
    const { count, from_ms, to_ms } = known ?? { count: 0, from_ms: joined_ms, to_ms: changed_ms };
    this.#missed.set(key, {
      ...{ tenant_id, room_id, count: count + 1 },
      from_ms: Math.min(from_ms, joined_ms),
      to_ms: Math.max(to_ms, changed_ms),
    });
  }

  #count(): void {
    this.#stats.stays = this.#stays.size;
  }
}
