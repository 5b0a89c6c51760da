/** The rooms of a tenant whose log has messages, from the admin API. */
import { z } from "zod";
import type { Admin } from "./admin.ts";

/** The most rooms of one answer. */
export const ANSWER_ROOMS = 1_000;

const Stored = z.looseObject({ rooms: z.array(z.string()), next: z.string().nullable() });

interface StoredRoomsWish {
  readonly tenant: string;
  readonly prefix?: string | undefined;
  /** Only rooms after this one. */
  readonly after?: string | undefined;
  /** The most rooms of all pages together. */
  readonly limit?: number;
}

/** Pages of names, in order; `next` is the room to continue after, null if there are no more. */
export async function* storedRooms(
  admin: Admin,
  { tenant, prefix, after, limit = Infinity }: StoredRoomsWish,
): AsyncGenerator<z.output<typeof Stored>, void> {
  for (let left = limit, last = after; left > 0;) {
    const most = Math.min(left, ANSWER_ROOMS);
    const query = { tenant, prefix: prefix || undefined, limit: most, after: last || undefined };
    const page = admin.as(Stored, await admin.get("/v1/rooms/stored", query));
    yield page;
    if (page.next === null) return;
    left -= page.rooms.length;
    last = page.next;
  }
}
