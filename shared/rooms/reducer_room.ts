/**
 * The room in which the log of a room with a reducer stands: its name, and whose it is. Pure; what is in it is
 * `brain/reducers/log/`. Nobody but the bus writes there, and no client reads it: what others asked for is in it.
 */

import { ArqonError } from "@arqon/proto";

/** The refusal of what only a reducer can answer. */
export const noReducer = (detail: string): ArqonError =>
  new ArqonError("invalid-command", `room.call: ${detail}`);

/** A room whose class shows nothing. */
export const nothingShown = (room_id: string): ArqonError =>
  new ArqonError("invalid-command", `room.values: ${room_id} shows none: no reducer_visible`);

/** A room whose class gives nobody its module. */
export const noModule = (room_id: string): ArqonError =>
  new ArqonError("invalid-command", `room.module: ${room_id} gives none: no reducer_public`);

/** What the name of such a room ends with. */
const REDUCER_SUFFIX = "~reducer";
/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;
/** The longest id of a room that can have a reducer. */
export const REDUCED_UNITS_MAX = ID_UNITS_MAX - REDUCER_SUFFIX.length;

/** The room with the log of this one; undefined: its name would be too long. */
export function reducerRoomOf(room_id: string): string | undefined {
  return room_id.length <= REDUCED_UNITS_MAX ? `${room_id}${REDUCER_SUFFIX}` : undefined;
}

/** The room whose log is in this one; undefined: it is a room like any other. */
export function reducedRoomOf(room_id: string): string | undefined {
  if (!room_id.endsWith(REDUCER_SUFFIX) || room_id.length === REDUCER_SUFFIX.length) {
    return undefined;
  }
  return room_id.slice(0, -REDUCER_SUFFIX.length);
}
