/** The types of a room's built-in commands. `Room` has a method for each. */
import type { CommandOptions, Json } from "../request/room_request.ts";

/** A position in the changes of a room. Versions of different epochs are not comparable. */
export interface RoomPosition {
  /** The version: one more with every change; 0 before the first. */
  readonly version: number;
  /** Changes when the room is deleted and created again; empty before the first change. */
  readonly epoch: string;
}

/** One change of a room: the JSON of a `ROOM_UPDATE` message, and an item of `events_after`. */
export interface RoomEvent extends RoomPosition {
  /**
   * The operation. The SDK itself inserts `state` if missed changes are no longer available: `state` and `lock` of the
   * event are then the whole room at this version.
   */
  readonly op: "set" | "delete" | "lock" | "unlock" | "kick" | "ban" | "unban" | "state";
  /** The change created the room: state of an earlier epoch was deleted. */
  readonly first?: true;
  /** User id of the author; empty for changes without one, such as the end of a lease. */
  readonly by: string;
  /** When it happened, Unix ms by the Brain's clock. */
  readonly at_ms: number;
  /** The key, for set and delete; absent if it is too long. */
  readonly key?: string;
  /** The value, for set; absent if it is too long: use `get`. */
  readonly value?: Json;
  /** True if a key or value was too long to be included. */
  readonly truncated?: true;
  /** Other members of the operation. */
  readonly [member: string]: Json | undefined;
}

/** The answer of `get` besides the value or the state. */
export interface RoomRead extends RoomPosition {
  /** The changes after `events_after`, if it was given and they are still stored. */
  readonly events?: readonly RoomEvent[];
  /** True if they are no longer stored: use the state instead. */
  readonly truncated?: true;
}

/** Options of `get`. */
export interface GetOptions extends CommandOptions {
  /** A version: the answer also has the changes after it; the room stores the last 64. */
  readonly events_after?: number;
}

/** One key of a room. */
export interface RoomValue extends RoomRead {
  readonly key: string;
  /** The value; null if there is no such key. */
  readonly value: Json;
  readonly exists: boolean;
}

/** All keys of a room. */
export interface RoomState extends RoomRead {
  readonly state: Readonly<Record<string, Json>>;
  /** The present lock; absent without one. */
  readonly lock?: {
    /** User id of the holder. */
    readonly holder: string;
    readonly connection_id: string;
    readonly fence: number;
    /** When the lease ends, Unix ms by the Brain's clock. */
    readonly until_ms: number;
  };
}

/** A granted lock: pass the fence to everything that the lock guards. */
export interface RoomLock extends RoomPosition {
  readonly fence: number;
  /** When the lease ends, Unix ms by the Brain's clock. */
  readonly until_ms: number;
}

/** Options of `Room.lock`; the `fence` of a held lock renews it. */
export interface LockOptions extends CommandOptions {
  /** How long the lease is, in ms; default 30,000. */
  readonly ttl_ms?: number;
}

/** The target of a kick: all connections of a user, or one connection. */
export type KickTarget = { readonly user_id: string } | { readonly connection_id: string };

/** Options of `Room.kick`. */
export interface KickOptions extends CommandOptions {
  /** The reason that the client receives. */
  readonly reason?: string;
}

/** The scope of a ban: the whole tenant, or this room. */
export type BanScope = "tenant" | "room";

/** Options of `Room.ban`. */
export interface BanOptions extends KickOptions {
  /** Duration of the ban in ms; default: until it is lifted. */
  readonly ttl_ms?: number;
  /** Scope of the ban; default: tenant. */
  readonly scope?: BanScope;
}

/** Options of `Room.unban`. */
export interface UnbanOptions extends CommandOptions {
  /** Scope of the lifted ban; default: tenant. */
  readonly scope?: BanScope;
}
