/** What the commands of a room take and answer, as types. `Room` has a method for each. */
import type { Json } from "../wire/json.ts";
import type { CommandOptions } from "../request/room_request.ts";

/** A place in the changes of a room. Versions of different epochs do not compare. */
export interface RoomPosition {
  /** The version: one more with every change; 0 before the first. */
  readonly version: number;
  /** Changes when the room has ended and was created again; empty before the first change. */
  readonly epoch: string;
}

/** One version of a room: what a `ROOM_UPDATE` message has as its JSON, and `events_after` asks for. */
export interface RoomEvent extends RoomPosition {
  /**
   * What happened. The SDK itself makes `state`, where changes were missed that the room no longer
   * knows: `state` and `lock` of the event are then the whole room at this version.
   */
  readonly op: "set" | "delete" | "lock" | "unlock" | "kick" | "ban" | "unban" | "state";
  /** The room was created with it: what was known of it before is of an earlier epoch, and gone. */
  readonly first?: true;
  /** User id of who did it; empty when nobody asked for it, as at the end of a lease. */
  readonly by: string;
  /** When it happened, Unix ms by the Brain's clock. */
  readonly at_ms: number;
  /** The key, for set and delete; absent when it is long. */
  readonly key?: string;
  /** The value, for set; absent when it is long: `get` has it. */
  readonly value?: Json;
  /** True when a key or value was too long to be reported. */
  readonly truncated?: true;
  /** Other members of the operation. */
  readonly [member: string]: Json | undefined;
}

/** What `get` of `roomState` answers besides the value or the state. */
export interface RoomRead extends RoomPosition {
  /** The versions after `events_after`, if it was given and they are still kept. */
  readonly events?: readonly RoomEvent[];
  /** True when they are no longer kept: take the state instead. */
  readonly truncated?: true;
}

/** What it takes besides the key. */
export interface GetOptions extends CommandOptions {
  /** A version: the answer also has the events after it; the room keeps the last 64. */
  readonly events_after?: number;
}

/** One key of a room. */
export interface RoomValue extends RoomRead {
  readonly key: string;
  /** The value; null when there is no such key. */
  readonly value: Json;
  readonly exists: boolean;
}

/** All keys of a room. */
export interface RoomState extends RoomRead {
  readonly state: Readonly<Record<string, Json>>;
  /** The lock that holds now; absent when there is none. */
  readonly lock?: {
    /** User id of the holder. */
    readonly holder: string;
    readonly connection_id: string;
    readonly fence: number;
    /** When the lease ends, Unix ms by the Brain's clock. */
    readonly until_ms: number;
  };
}

/** A lock that was granted: give the fence to everything that the lock guards. */
export interface RoomLock extends RoomPosition {
  readonly fence: number;
  /** When the lease ends, Unix ms by the Brain's clock. */
  readonly until_ms: number;
}

/** What `Room.lock` takes; `fence` of a lock that is held renews it. */
export interface LockOptions extends CommandOptions {
  /** How long the lease is, in ms; default 30,000. */
  readonly ttl_ms?: number;
}

/** Whom to kick: a user with all connections, or one connection. */
export type KickTarget = { readonly user_id: string } | { readonly connection_id: string };

/** What `Room.kick` takes besides whom. */
export interface KickOptions extends CommandOptions {
  /** The reason that the client receives. */
  readonly reason?: string;
}

/** From where a user is banned: the whole tenant, or this room. */
export type BanScope = "tenant" | "room";

/** What `Room.ban` takes besides whom. */
export interface BanOptions extends KickOptions {
  /** How long the ban lasts, in ms; default: until it is lifted. */
  readonly ttl_ms?: number;
  /** How far the ban reaches; default: tenant. */
  readonly scope?: BanScope;
}

/** What `Room.unban` takes besides whom. */
export interface UnbanOptions extends CommandOptions {
  /** How far the ban that is lifted reaches; default: tenant. */
  readonly scope?: BanScope;
}
