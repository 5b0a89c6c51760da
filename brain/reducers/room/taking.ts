/** Which entries of a room come next: a timer whose time has come, or calls, as many as one message of its log takes. */
import type { Random } from "../../../shared/ids.ts";
import { ENTRY_BYTES } from "../log/batch.ts";
import type { LogEntry } from "../state/entry.ts";
import type { RoomStanding } from "../thread/protocol.ts";
import type { WaitingCall } from "./call.ts";

/** Entries of one message of the log, and about its bytes; one entry may be larger. */
const BATCH_ENTRIES = 256;
const BATCH_BYTES = 262_144;
const SEED_BYTES = 16;

/** Entries that are to be applied, and the calls that they come from. */
export interface Taken {
  readonly entries: readonly LogEntry[];
  readonly calls: readonly WaitingCall[];
}

/** What a room is at, and what its entries are made with. */
export interface TakenAt {
  readonly standing: RoomStanding;
  /** Unix ms. */
  readonly now_ms: number;
  readonly random: Random;
}

/** What every entry has; `at` counts from 1. */
function placed({ standing, now_ms }: TakenAt, at: number, seed: Uint8Array) {
  // Time never goes back inside of a room.
  const time_ms = Math.max(standing.time_ms, Math.trunc(now_ms));
  return { offset: standing.offset + at, time_ms, seed };
}

/** The timer whose time has come; undefined: none. */
export function takeTimer(room: TakenAt): Taken | undefined {
  const { next, time_ms } = room.standing;
  if (next === undefined || next.at_ms > Math.max(time_ms, Math.trunc(room.now_ms))) {
    return undefined;
  }
  const seed = room.random(SEED_BYTES).slice();
  return { entries: [{ kind: "timer", ...placed(room, 1, seed), key: next.key }], calls: [] };
}

/** The first of those that wait; undefined: nobody does. */
export function takeCalls(waiting: readonly WaitingCall[], room: TakenAt): Taken | undefined {
  const calls: WaitingCall[] = [];
  let bytes = 0;
  for (const call of waiting) {
    bytes += ENTRY_BYTES + call.command.length + call.data.length + call.id.length;
    for (const name in call.claims) bytes += name.length + call.claims[name]!.length;
    if (calls.length > 0 && (calls.length === BATCH_ENTRIES || bytes > BATCH_BYTES)) break;
    calls.push(call);
  }
  if (calls.length === 0) return undefined;
  const seeds = room.random(calls.length * SEED_BYTES);
  const entries = calls.map((
    { deadline_ms: _late, answer: _answer, ...asked },
    at,
  ): LogEntry => {
    const seed = seeds.slice(at * SEED_BYTES, (at + 1) * SEED_BYTES);
    return { kind: "command", ...placed(room, at + 1, seed), ...asked };
  });
  return { entries, calls };
}
