/**
 * The room in which changes of a room's visible values are reported, where its reducer's class shows some: its name, and
 * whose it is. Pure; what is in it is `brain/reducers/visible/`. Nobody but the bus writes there.
 */
import { grownRoomOf } from "./growing_room.ts";

/** What the name of such a room ends with. */
const VALUES_SUFFIX = "~values";
/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;

/** The room with the changes of this one; undefined: its name would be too long, or this is one beside another itself. */
export function valuesRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - VALUES_SUFFIX.length;
  const is_beside = valuedRoomOf(room_id) !== undefined || grownRoomOf(room_id) !== undefined;
  return is_short && !is_beside ? `${room_id}${VALUES_SUFFIX}` : undefined;
}

/** The room whose values change in this one; undefined: it is a room like any other. */
export function valuedRoomOf(room_id: string): string | undefined {
  if (!room_id.endsWith(VALUES_SUFFIX) || room_id.length === VALUES_SUFFIX.length) return undefined;
  return room_id.slice(0, -VALUES_SUFFIX.length);
}
