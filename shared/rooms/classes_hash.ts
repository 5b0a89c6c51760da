/** A number for the room classes of a configuration, by which processes that have others are found. Pure. */
import { fnvText, mixBits } from "../fnv.ts";
import type { RoomClassEntry } from "../config/schema_durable.ts";

/** From 1 to 2^32 - 1. Equal for the same `[[rooms]]` in any order and process; different ones have another value. */
export function classesHash(rooms: readonly RoomClassEntry[]): number {
  const texts = rooms.map((entry) =>
    JSON.stringify(Object.entries(entry).toSorted(([a], [b]) => a < b ? -1 : 1))
  );
  return mixBits(fnvText(texts.toSorted().join("\n"))) || 1;
}
