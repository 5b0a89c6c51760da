/**
 * The rooms whose names the bus keeps for itself: beside a room, what is reported or kept of it, and one of the tenant. Who
 * may read them is said here, once: the grants, bans and policies of the room beside which it is. Nobody but the bus
 * publishes to any of them, and no pattern receives one. Pure; what is in a room is its own module's.
 */
import { reducedRoomOf } from "./reducer_room.ts";

/** The longest id of a room, in UTF-16 units. */
const ID_UNITS_MAX = 64;

const GROWING_SUFFIX = "~growing";
const MEMBERS_SUFFIX = "~members";
const VALUES_SUFFIX = "~values";

/** The tenant's room with what hooks are notified of and no room has: `shared/hooks/tenant_event.ts`. */
export const EVENTS_ROOM = "~events";
/** The longest id of a room whose membership can be kept. */
export const RECORDED_UNITS_MAX = ID_UNITS_MAX - MEMBERS_SUFFIX.length;

/** The room beside which one of this name would be; undefined: its name ends otherwise. */
function besideWhich(room_id: string, suffix: string): string | undefined {
  if (!room_id.endsWith(suffix) || room_id.length === suffix.length) return undefined;
  return room_id.slice(0, -suffix.length);
}

/**
 * The room with the pieces of this one's growing messages; undefined: its name would be too long, or this is one itself.
 * What is in it is `shield/growing/`.
 */
export function growingRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - GROWING_SUFFIX.length;
  return is_short && grownRoomOf(room_id) === undefined ? `${room_id}${GROWING_SUFFIX}` : undefined;
}

/** The room whose messages grow in this one; undefined: it is a room like any other. */
export const grownRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, GROWING_SUFFIX);

/**
 * The room with the membership of this one; undefined: its name would be too long. What is in it is `shared/membership/`,
 * and the Brain writes it.
 */
export function membersRoomOf(room_id: string): string | undefined {
  return room_id.length <= RECORDED_UNITS_MAX ? `${room_id}${MEMBERS_SUFFIX}` : undefined;
}

/** The room whose membership is in this one; undefined: it is a room like any other. */
export const recordedRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, MEMBERS_SUFFIX);

/**
 * The room with the changes of this one's visible values; undefined: its name would be too long, or this is one beside
 * another itself. What is in it is `brain/reducers/visible/`.
 */
export function valuesRoomOf(room_id: string): string | undefined {
  const is_short = room_id.length <= ID_UNITS_MAX - VALUES_SUFFIX.length;
  const is_beside = valuedRoomOf(room_id) !== undefined || grownRoomOf(room_id) !== undefined;
  return is_short && !is_beside ? `${room_id}${VALUES_SUFFIX}` : undefined;
}

/** The room whose values change in this one; undefined: it is a room like any other. */
export const valuedRoomOf = (room_id: string): string | undefined =>
  besideWhich(room_id, VALUES_SUFFIX);

/** A reserved room. */
export interface ReservedRoom {
  /** The room beside which it is; undefined: it is the tenant's. */
  readonly of: string | undefined;
  /** The grants that it takes to read it, in the room beside which it is; undefined: no client reads it. */
  readonly grants: readonly ("subscribe" | "presence")[] | undefined;
}

interface Kind extends Pick<ReservedRoom, "grants"> {
  /** The room beside which one of this name would be. */
  readonly of: (room_id: string) => string | undefined;
  /** The reserved room beside this one, where clients receive it. */
  readonly beside?: (room_id: string) => string | undefined;
}

/** All of them but the tenant's. */
const KINDS: readonly Kind[] = [
  // To read who came and went is to see who is in the room.
  { of: recordedRoomOf, beside: membersRoomOf, grants: ["subscribe", "presence"] },
  // Who may receive the messages may receive them grow, and see what values change.
  { of: grownRoomOf, beside: growingRoomOf, grants: ["subscribe"] },
  { of: valuedRoomOf, beside: valuesRoomOf, grants: ["subscribe"] },
  // What others asked a reducer for.
  { of: reducedRoomOf, grants: undefined },
];
/** What is there is for hooks. */
const EVENTS: ReservedRoom = { of: undefined, grants: undefined };

/** What is reserved about a room; undefined: it is a room like any other. */
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
 * The room whose policies and hooks are asked about reading this one: a room itself, and for a reserved one the room
 * beside which it is, so that a policy that is bound to a room alone is asked by every way to it.
 */
export function judgedRoomOf(room_id: string): string {
  const of = reservedRoom(room_id)?.of;
  return of === undefined ? room_id : judgedRoomOf(of);
}

/** The reserved rooms beside a room that clients receive. */
export function heardBeside(room_id: string): string[] {
  return KINDS.map(({ beside }) => beside?.(room_id)).filter((room) => room !== undefined);
}
