/** A number for the room classes of a configuration, by which processes that have others are found. Pure. */
import { fnvText, mixBits } from "../fnv.ts";
import type { RoomClassEntry } from "./schema_durable.ts";

/** Hashes of lists that were asked for: each scrape and each beat asks, and one of 10,000 classes takes 100 ms. */
const known = new WeakMap<readonly RoomClassEntry[], number>();

/** From 1 to 2^32 - 1. The same for the same `[[rooms]]`, in any order and process; others have another. */
export function classesHash(rooms: readonly RoomClassEntry[]): number {
  return known.getOrInsertComputed(rooms, () => {
    const texts = rooms.map((entry) =>
      JSON.stringify(Object.entries(entry).toSorted(([a], [b]) => a < b ? -1 : 1))
    );
    return mixBits(fnvText(texts.toSorted().join("\n"))) || 1;
  });
}

/** Takes over the hash of a list that another thread has made. */
export function rememberClassesHash(rooms: readonly RoomClassEntry[], hash: number): void {
  known.set(rooms, hash);
}
