/** What a Brain logs and counts of what has come of entries and of other programs. */
import type { Applied } from "../thread/protocol.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import type { SwitchOutcome } from "./switching.ts";

/** Counts entries that are stored, by what has come of them. */
export function countApplied(applied: readonly Applied[], { metrics }: RoomParts): void {
  const counts = new Map<string, number>();
  for (const { repeats, kind } of applied) {
    const verdict = repeats === undefined ? kind : "repeated";
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  }
  for (const [verdict, count] of counts) metrics.entries.inc({ verdict }, count);
}

/** Units of a message with entries, and of an event: measured 200 to 300 µs, and 5 to 10, of the thread that stores them. */
const MESSAGE_UNITS = 250_000;
const EVENT_UNITS = 10_000;

/** What storing entries and publishing their events costs. */
export const storedUnits = (applied: readonly Applied[]): number =>
  applied.reduce((units, { events }) => units + events.length * EVENT_UNITS, MESSAGE_UNITS);

/** Says what has come of an entry that is stored. */
export function noteApplied(
  applied: Applied,
  { tenant_id, room_id: room }: ReducedPlace,
  { log }: RoomParts,
): void {
  for (const { level, message } of applied.logs) {
    const write = [log.debug, log.info, log.warn, log.error][level] ?? log.info;
    write.call(log, "a reducer says", { tenant_id, room, message });
  }
  if (applied.kind === "fault" && applied.repeats === undefined) {
    const { offset, detail, reason } = applied;
    log.warn("a reducer failed", { tenant_id, room, entry: offset, reason, detail });
  }
}

/** Says what has come of another program. */
export function noteSwitch(
  outcome: SwitchOutcome | undefined,
  { program, refused, standing: { offset: entry } }: LoadedRoom,
  { tenant_id, room_id: room }: ReducedPlace,
  { log, metrics }: RoomParts,
): void {
  if (outcome === undefined) return;
  metrics.switches.inc({ outcome });
  if (outcome !== "refused") {
    log.debug("another program is in force", { tenant_id, room, entry, program: program?.id });
    return;
  }
  const about = { tenant_id, room, entry, program: refused?.program, in_force: program?.id };
  log.error("a program could not migrate a room, and the one before stays", about);
}
