/**
 * What the commands of a room answer and take, as types. `Room` has a method for each.
 */
import type { Json } from "./json.ts";
import type { CommandOptions } from "./room_request.ts";

/** Where a room's state stands. Versions of different epochs do not compare. */
export interface RoomPosition {
  /** One more with every change; 0 before the first. */
  readonly version: number;
  /** Another one after the room has ended and was born again; empty before the first change. */
  readonly epoch: string;
}

/** One version of a room: what a `ROOM_UPDATE` message has as its JSON, and `events_after` asks for. */
export interface RoomEvent extends RoomPosition {
  readonly op: "set" | "delete" | "lock" | "unlock" | "kick" | "ban" | "unban";
  /** User id; empty when nobody asked for it: a lease that ended. */
  readonly by: string;
  /** Unix ms by the Brain's clock. */
  readonly at_ms: number;
  /** Of set and delete; absent when it is long. */
  readonly key?: string;
  /** Of set; absent when it is long: `get` has it. */
  readonly value?: Json;
  /** A key or value was too long to be told. */
  readonly truncated?: true;
  /** What else the operation has. */
  readonly [member: string]: Json | undefined;
}

/** What `Room.get` answers besides. */
export interface RoomRead extends RoomPosition {
  /** With `events_after`: every version after that one, unless they are no longer kept. */
  readonly events?: readonly RoomEvent[];
  /** They are no longer kept: take the state instead. */
  readonly truncated?: true;
}

/** What `Room.get` takes besides the key. */
export interface GetOptions extends CommandOptions {
  /** Tell also what happened after this version; the room keeps the last 64. */
  readonly events_after?: number;
}

/** One key of a room. */
export interface RoomValue extends RoomRead {
  readonly key: string;
  /** Null when there is none. */
  readonly value: Json;
  readonly exists: boolean;
}

/** All keys of a room. */
export interface RoomState extends RoomRead {
  readonly state: Readonly<Record<string, Json>>;
  /** The lock that holds now; absent when there is none. */
  readonly lock?: {
    /** User id. */
    readonly holder: string;
    readonly connection_id: string;
    readonly fence: number;
    /** Unix ms by the Brain's clock. */
    readonly until_ms: number;
  };
}

/** A lease on a room: give the fence to everything that the lock guards. */
export interface RoomLock extends RoomPosition {
  readonly fence: number;
  /** Unix ms by the Brain's clock. */
  readonly until_ms: number;
}

/** What `Room.lock` takes; `fence` of a lock that is held renews it. */
export interface LockOptions extends CommandOptions {
  /** The lease; default 30,000 ms. */
  readonly ttl_ms?: number;
}

/** Whom to kick: a user with all connections, or one connection. */
export type KickTarget = { readonly user_id: string } | { readonly connection_id: string };

/** What `Room.kick` takes besides whom. */
export interface KickOptions extends CommandOptions {
  /** The client is told. */
  readonly reason?: string;
}

/** From where a user is banned: the whole tenant, or this room. */
export type BanScope = "tenant" | "room";

/** What `Room.ban` takes besides whom. */
export interface BanOptions extends KickOptions {
  /** Default: without end. */
  readonly ttl_ms?: number;
  /** Default: tenant. */
  readonly scope?: BanScope;
}

/** What `Room.unban` takes besides whom. */
export interface UnbanOptions extends CommandOptions {
  /** Default: tenant. */
  readonly scope?: BanScope;
}
