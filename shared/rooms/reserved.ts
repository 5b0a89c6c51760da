/**
 * The rooms whose names the bus keeps for itself: beside a room, what is reported or kept of it, and one of the tenant. Who
 * may read them is said here, once: the grants, bans and policies of the room beside which it is. Nobody but the bus
 * publishes to any of them, and no pattern receives one. Pure; what is in a room is its own module's.
 */
import { EVENTS_ROOM } from "./events_room.ts";
import { growingRoomOf, grownRoomOf } from "./growing_room.ts";
import { membersRoomOf, recordedRoomOf } from "./members_room.ts";
import { reducedRoomOf } from "./reducer_room.ts";
import { valuedRoomOf, valuesRoomOf } from "./values_room.ts";

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
