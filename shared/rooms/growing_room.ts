/**
 * The room in which the pieces of a durable room's growing messages are reported: its name, and whose it is. Pure;
 * what a growing message is, and who tells its pieces, is `shield/growing/`.
 */

/** What the name of such a room ends with. Nobody but the bus publishes to a room that does. */
const GROWING_SUFFIX = "~growing";
/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;

/** The room with the pieces of this one; undefined: its name would be too long, or this is one itself. */
export function growingRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - GROWING_SUFFIX.length;
  return is_short && grownRoomOf(room_id) === undefined ? `${room_id}${GROWING_SUFFIX}` : undefined;
}

/** The room whose messages grow in this one; undefined: it is a room like any other. */
export function grownRoomOf(room_id: string): string | undefined {
  if (!room_id.endsWith(GROWING_SUFFIX) || room_id.length === GROWING_SUFFIX.length) {
    return undefined;
  }
  return room_id.slice(0, -GROWING_SUFFIX.length);
}
