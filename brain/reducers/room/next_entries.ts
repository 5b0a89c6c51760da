/**
 * The next entries of a room: due timers, or calls, as many as one message of its log takes. First come, first served:
 * a room that is busy with timers answers its calls, too.
 */
import type { Env } from "../../../shared/env.ts";
import { ENTRY_BYTES } from "../log/batch.ts";
import { copyOf } from "../state/canonical.ts";
import type { LogEntry, MigrateEntry } from "../state/entry.ts";
import type { TimerAt } from "../state/room_state.ts";
import type { RoomStanding } from "../thread/protocol.ts";
import type { WaitingCall } from "./call.ts";

/** Most entries of one message of the log, and its approximate bytes; a single entry may be larger. */
const BATCH_ENTRIES = 256;
const BATCH_BYTES = 262_144;
const SEED_BYTES = 16;

/** Entries to apply, and their calls: none for timers. */
export interface Taken {
  readonly entries: readonly LogEntry[];
  readonly calls: readonly WaitingCall[];
}

/** A call in the queue of its room's owner. */
export interface ArrivedCall extends WaitingCall {
  /** Monotonic ms. */
  readonly arrived_ms: number;
  /** The id of the program whose schema has admitted it; undefined: not checked. */
  readonly judged?: string;
}

/** The room's position, and the source of its entries' times and seeds. */
export interface TakenAt extends Pick<Env, "random"> {
  readonly standing: RoomStanding;
  /** Unix ms by the clock of the log, and its lead over the monotonic clock. */
  readonly now_ms: number;
  readonly ahead_ms: number;
  /** How many timers may run; 0 if another Brain runs them. */
  readonly timers_max: number;
}

/** The common fields of an entry; `at` counts from 1. */
function placed({ standing }: TakenAt, now_ms: number, at: number, seed: Uint8Array) {
  // The time of a room never decreases.
  const time_ms = Math.max(standing.time_ms, Math.trunc(now_ms));
  return { offset: standing.offset + at, time_ms, seed };
}

/** The entry in which another program migrates the room. */
export function takeMigration(
  room: TakenAt,
  migration: Pick<MigrateEntry, "kind" | "from" | "deploy">,
): Taken {
  const seed = room.random(SEED_BYTES).slice();
  return { entries: [{ ...migration, ...placed(room, room.now_ms, 1, seed) }], calls: [] };
}

/** The first waiting calls, as many as one message takes. */
function firstOf(waiting: readonly ArrivedCall[], before_ms: number): ArrivedCall[] {
  const calls: ArrivedCall[] = [];
  let bytes = 0;
  for (const call of waiting) {
    bytes += ENTRY_BYTES + call.command.length + call.data.length + call.id.length;
    for (const name in call.claims) bytes += name.length + call.claims[name]!.length;
    if (calls.length > 0 && (calls.length === BATCH_ENTRIES || bytes > BATCH_BYTES)) break;
    if (call.arrived_ms >= before_ms) break;
    calls.push(call);
  }
  return calls;
}

/** Whether the room's first timer is due. */
export function isDue({ next, time_ms }: RoomStanding, now_ms: number): boolean {
  return next !== undefined && next.at_ms <= Math.max(time_ms, Math.trunc(now_ms));
}

/** The timers that are due before any waiting call, the first of them in any case. */
function timersOf(waiting: readonly ArrivedCall[], next: TimerAt, room: TakenAt): Taken {
  const { standing: { later, time_ms }, random, timers_max, now_ms, ahead_ms } = room;
  const before_ms = (waiting[0]?.arrived_ms ?? Infinity) + ahead_ms;
  const due_ms = Math.max(time_ms, Math.trunc(now_ms));
  const more = later.filter(({ at_ms }) => at_ms <= due_ms && at_ms <= before_ms);
  const timers = [next, ...more].slice(0, timers_max);
  const seeds = random(timers.length * SEED_BYTES);
  const entries = timers.map(({ key }, at): LogEntry => {
    const seed = copyOf(seeds, at * SEED_BYTES, SEED_BYTES);
    return { kind: "timer", ...placed(room, now_ms, at + 1, seed), key };
  });
  return { entries, calls: [] };
}

/** The next entries; undefined: none. */
export function takeNext(waiting: readonly ArrivedCall[], room: TakenAt): Taken | undefined {
  const { standing, random, timers_max, now_ms, ahead_ms } = room;
  const { next } = standing;
  const is_due = timers_max > 0 && next !== undefined && isDue(standing, now_ms);
  const calls = firstOf(waiting, is_due ? next.at_ms - ahead_ms : Infinity);
  if (calls.length > 0) {
    const seeds = random(calls.length * SEED_BYTES);
    // For the room the call's time is before the timer's, even if the clock says later.
    const call_ms = is_due ? Math.min(now_ms, next.at_ms - 1) : now_ms;
    const entries = calls.map(({ command, data, id, user_id, role, claims }, at): LogEntry => {
      const seed = copyOf(seeds, at * SEED_BYTES, SEED_BYTES);
      const { offset, time_ms } = placed(room, call_ms, at + 1, seed);
      return { kind: "command", offset, time_ms, seed, command, data, id, user_id, role, claims };
    });
    return { entries, calls };
  }
  return is_due ? timersOf(waiting, next, room) : undefined;
}
