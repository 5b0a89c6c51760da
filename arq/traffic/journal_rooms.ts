/** The durable rooms that a bus's journal names: also those that nobody is subscribed to. Prints nothing. */
import { ArqonError } from "@arqon/sdk";
import type { Admin } from "../bus/admin.ts";
import { journalBytes } from "../journal/bus_journal.ts";
import type { Io } from "../terminal/io.ts";

/** Which rooms are asked for. */
export interface JournalRoomsWish {
  readonly tenant: string;
  /** How their names begin. */
  readonly prefix: string;
  /** Only what was decided from this time on, Unix ms. */
  readonly since_ms?: number | undefined;
  /** So many at most: then no more is read. */
  readonly most: number;
}

const decoder = new TextDecoder();

/** The room in whose log a line's message stands; undefined: in none. */
function roomOf(line: string): string | undefined {
  const { room, offset } = JSON.parse(line);
  return typeof room === "string" && typeof offset === "number" ? room : undefined;
}

/**
 * Rooms in whose log a recorded message stands. A bus without a journal has none. Rejects as the bus refuses.
 */
export async function journalRooms(
  io: Io,
  admin: Admin,
  { tenant, prefix, since_ms, most }: JournalRoomsWish,
): Promise<ReadonlySet<string>> {
  const rooms = new Set<string>();
  const wish = { tenant, since_ms, outcome: "allowed" };
  try {
    for await (const bytes of journalBytes(io, admin, wish)) {
      for (const line of decoder.decode(bytes).split("\n")) {
        const room = line === "" ? undefined : roomOf(line);
        if (room?.startsWith(prefix) === true) rooms.add(room);
        if (rooms.size >= most) return rooms;
      }
    }
  } catch (error) {
    if (!(error instanceof ArqonError) || error.reason !== "not-found") throw error;
  }
  return rooms;
}
