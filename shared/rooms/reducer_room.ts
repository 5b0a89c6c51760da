/**
 * The companion room with the log of a room with a reducer: its name and its owner. Pure; `brain/reducers/log/` defines
 * its content. Only the bus writes there, and no client reads it, because it has other clients' calls.
 */

/** The suffix of the name of such a room. */
const REDUCER_SUFFIX = "~reducer";
/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;
/** The longest id of a room that can have a reducer. */
export const REDUCED_UNITS_MAX = ID_UNITS_MAX - REDUCER_SUFFIX.length;

/** The room with the log of this one; undefined: its name would be too long. */
export function reducerRoomOf(room_id: string): string | undefined {
  return room_id.length <= REDUCED_UNITS_MAX ? `${room_id}${REDUCER_SUFFIX}` : undefined;
}

/** The room whose log this is; undefined: it is a normal room. */
export function reducedRoomOf(room_id: string): string | undefined {
  if (!room_id.endsWith(REDUCER_SUFFIX) || room_id.length === REDUCER_SUFFIX.length) {
    return undefined;
  }
  return room_id.slice(0, -REDUCER_SUFFIX.length);
}
