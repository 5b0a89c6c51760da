/**
 * Which rooms a log on JetStream has: the server lists the subjects of a stream, all that match at once, and what
 * of them is wanted is chosen here. Pages of subjects that change meanwhile may leave one out or have it twice.
 */
import type { RoomsPage, RoomsRead } from "../../contract/durable_log.ts";
import type { Reading } from "./nats_log_read.ts";

/** Rooms of a tenant whose log's subjects match `pattern`, in the order of their names. */
export async function readRooms(
  { api, stream, timeout_ms }: Reading,
  pattern: string,
  { prefix, after, limit }: RoomsRead,
): Promise<RoomsPage> {
  // Only the last token of a tenant's pattern is open: it is the room.
  const room_at = pattern.length - 1;
  let first = new Set<string>();
  for (let offset = 0;;) {
    const { subjects, total } = await api.subjects(stream, pattern, offset, timeout_ms);
    for (const subject of subjects) {
      const room_id = subject.slice(room_at);
      if (room_id > after && room_id.startsWith(prefix)) first.add(room_id);
    }
    // More than are asked for are not kept, however many there are.
    first = new Set([...first].sort().slice(0, limit + 1));
    offset += subjects.length;
    if (subjects.length === 0 || offset >= total) break;
  }
  const rooms = [...first];
  return { rooms: rooms.slice(0, limit), more: rooms.length > limit };
}
