/**
 * The rooms with names reserved by the bus: companion rooms with reports or stored data of a room, and one of the
 * tenant. This file alone defines who may read them: the grants, bans and policies of the room to which they belong.
 * Only the bus publishes to them, and no pattern matches them. Pure; each room's module defines its content.
 */

/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;

const GROWING_SUFFIX = "~growing";
const MEMBERS_SUFFIX = "~members";
const VALUES_SUFFIX = "~values";
const REDUCER_SUFFIX = "~reducer";

/** The tenant's room with events for hooks that belong to no room: `shared/hooks/tenant_event.ts`. */
export const EVENTS_ROOM = "~events";
/** The longest id of a room with a journal of members. */
export const RECORDED_UNITS_MAX = ID_UNITS_MAX - MEMBERS_SUFFIX.length;
/** The longest id of a room that can have a reducer. */
export const REDUCED_UNITS_MAX = ID_UNITS_MAX - REDUCER_SUFFIX.length;

/** The room to which a companion of this name belongs; undefined: the name has another ending. */
function besideWhich(room_id: string, suffix: string): string | undefined {
  if (!room_id.endsWith(suffix) || room_id.length === suffix.length) return undefined;
  return room_id.slice(0, -suffix.length);
}

/**
 * The companion room with the pieces of this one's growing messages; undefined: its name would be too long, or this is
 * such a room itself. `shield/growing/` defines its content.
 */
export function growingRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - GROWING_SUFFIX.length;
  return is_short && grownRoomOf(room_id) === undefined ? `${room_id}${GROWING_SUFFIX}` : undefined;
}

/** The room whose growing messages are in this one; undefined: it is a normal room. */
export const grownRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, GROWING_SUFFIX);

/**
 * The companion room with the journal of members of this one; undefined: its name would be too long.
 * `shared/membership/` defines its content; the Brain writes it.
 */
export function membersRoomOf(room_id: string): string | undefined {
  return room_id.length <= RECORDED_UNITS_MAX ? `${room_id}${MEMBERS_SUFFIX}` : undefined;
}

/** The room whose members are recorded in this one; undefined: it is a normal room. */
export const recordedRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, MEMBERS_SUFFIX);

/**
 * The companion room with the changes of this one's visible values; undefined: its name would be too long, or this is a
 * companion room itself. `brain/reducers/visible/` defines its content.
 */
export function valuesRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - VALUES_SUFFIX.length;
  const is_beside = valuedRoomOf(room_id) !== undefined || grownRoomOf(room_id) !== undefined;
  return is_short && !is_beside ? `${room_id}${VALUES_SUFFIX}` : undefined;
}

/** The room whose changes are in this one; undefined: it is a normal room. */
export const valuedRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, VALUES_SUFFIX);

/**
 * The companion room with the log of a room with a reducer; undefined: its name would be too long. No client reads it,
 * because it has other clients' calls. `brain/reducers/log/` defines its content.
 */
export function reducerRoomOf(room_id: string): string | undefined {
  return room_id.length <= REDUCED_UNITS_MAX ? `${room_id}${REDUCER_SUFFIX}` : undefined;
}

/** The room whose log this is; undefined: it is a normal room. */
export const reducedRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, REDUCER_SUFFIX);

/** A reserved room. */
export interface ReservedRoom {
  /** The room to which it belongs; undefined: it is the tenant's. */
  readonly of: string | undefined;
  /** The grants needed for reading it, on the room to which it belongs; undefined: no client reads it. */
  readonly grants: readonly ("subscribe" | "presence")[] | undefined;
}

interface Kind extends Pick<ReservedRoom, "grants"> {
  readonly of: (room_id: string) => string | undefined;
  /** The companion room of this one that clients receive. */
  readonly beside?: (room_id: string) => string | undefined;
}

/** All of them but the tenant's. */
const KINDS: readonly Kind[] = [
  // Reading joins and leaves means seeing the members of the room.
  { of: recordedRoomOf, beside: membersRoomOf, grants: ["subscribe", "presence"] },
  // Clients that may receive the messages may also receive growing messages and changes of values.
  { of: grownRoomOf, beside: growingRoomOf, grants: ["subscribe"] },
  { of: valuedRoomOf, beside: valuesRoomOf, grants: ["subscribe"] },
  // Other clients' calls of the reducer.
  { of: reducedRoomOf, grants: undefined },
];
/** Its content is for hooks. */
const EVENTS: ReservedRoom = { of: undefined, grants: undefined };

/** The rules of a reserved room; undefined: it is a normal room. */
export function reservedRoom(room_id: string): ReservedRoom | undefined {
  // Every message asks.
  if (!room_id.includes("~")) return undefined;
  if (room_id === EVENTS_ROOM) return EVENTS;
  for (const { of, grants } of KINDS) {
    const beside = of(room_id);
    if (beside !== undefined) return { of: beside, grants };
  }
  return undefined;
}

/**
 * The room whose policies and hooks decide about reading this one: the room itself, or for a companion room the room to
 * which it belongs. So a policy for that room applies to every way of reading it.
 */
export function judgedRoomOf(room_id: string): string {
  const of = reservedRoom(room_id)?.of;
  return of === undefined ? room_id : judgedRoomOf(of);
}

/** The companion rooms of a room that clients receive. */
export function companionsOf(room_id: string): string[] {
  return KINDS.map(({ beside }) => beside?.(room_id)).filter((room) => room !== undefined);
}
