/** The durable rooms of a pattern that have messages, as a bus lists them. Prints nothing. */
import { listOf } from "../answers/policy_text.ts";
import { askAdmin } from "../bus/admin.ts";
import type { Admin } from "../bus/admin.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";

/** Rooms of one answer. */
const ANSWER_ROOMS = 1_000;

/** Which rooms are asked for. */
export interface StoredRoomsWish {
  readonly tenant: string;
  /** How their names begin. */
  readonly prefix: string;
  /** So many at most. */
  readonly most: number;
}

/**
 * Rooms whose log has messages, by their names. Rejects as the bus refuses, and with a `CommandError` for more than
 * are asked for.
 */
export async function storedRooms(
  io: Io,
  admin: Admin,
  { tenant, prefix, most }: StoredRoomsWish,
): Promise<readonly string[]> {
  const rooms: string[] = [];
  const query = new URLSearchParams({ tenant, prefix, limit: String(ANSWER_ROOMS) });
  for (;;) {
    const path = `/v1/rooms/stored?${query}`;
    const answer = await askAdmin(io, admin, { method: "GET", path });
    rooms.push(...listOf(answer["rooms"]).map(String));
    if (rooms.length > most) {
      throw new CommandError(
        `more than ${most} rooms begin with ${JSON.stringify(prefix)}`,
        EXIT.failure,
        "a longer beginning names fewer",
      );
    }
    if (typeof answer["next"] !== "string") return rooms;
    query.set("after", answer["next"]);
  }
}
