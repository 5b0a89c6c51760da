/**
 * The room in which a room's membership is kept: its name, and who has it. Pure; what is in it is
 * `shared/membership/`, who writes it the Brain.
 */

/** What the name of such a room ends with. Nobody but the bus publishes to a room that does. */
const MEMBERS_SUFFIX = "~members";
/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;
/** The longest id of a room whose membership can be kept. */
export const RECORDED_UNITS_MAX = ID_UNITS_MAX - MEMBERS_SUFFIX.length;

/** The room with the membership of this one; undefined: its name would be too long. */
export function membersRoomOf(room_id: string): string | undefined {
  return room_id.length <= RECORDED_UNITS_MAX ? `${room_id}${MEMBERS_SUFFIX}` : undefined;
}

/** The room whose membership is in this one; undefined: it is a room like any other. */
export function recordedRoomOf(room_id: string): string | undefined {
  if (!room_id.endsWith(MEMBERS_SUFFIX) || room_id.length === MEMBERS_SUFFIX.length) {
    return undefined;
  }
  return room_id.slice(0, -MEMBERS_SUFFIX.length);
}
