/** A number for the room classes of a configuration, by which processes that have others are found. Pure. */
import { fnvText, mixBits } from "../fnv.ts";
import type { RoomClassEntry } from "../config/schema_durable.ts";

/** From 1 to 2^32 - 1. The same for the same `[[rooms]]`, in whatever order and whichever process; other ones have another. */
export function classesHash(rooms: readonly RoomClassEntry[]): number {
  const texts = rooms.map((entry) =>
    JSON.stringify(Object.entries(entry).toSorted(([a], [b]) => a < b ? -1 : 1))
  );
  return mixBits(fnvText(texts.toSorted().join("\n"))) || 1;
}
