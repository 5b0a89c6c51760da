/**
 * What a room can be asked to do, as plain data. Where it comes from is `request.ts`, what it does
 * `document.ts`.
 */

/** A position that may be beyond 2^53, as the wire has it. */
export type Position = number | bigint;

/** A room in its tenant. */
export interface RoomAddress {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** Who asks. */
export interface Sender {
  readonly user_id: string;
  /** The connection that the Shield named; "" when there is none, as for a backend. */
  readonly connection_id: string;
  /** 32 hex digits; "" when the envelope had none. */
  readonly trace_id: string;
}

/** What every command carries besides its own members. */
export interface Conditions {
  readonly from: Sender;
  /** The version the room must have; 0 is any. */
  readonly expect_version: Position;
  /** A version that the sender has seen: the room must have reached it; 0 is none. */
  readonly after_version: Position;
  /** The epoch those versions belong to; empty is any. */
  readonly epoch: string;
  /** The fence of the lock that the sender holds; 0 is none. */
  readonly fence: Position;
  /** Who sent it under which command_id; absent when the sender gave none. */
  readonly command_key: string | undefined;
}

/** Reads one key or everything. */
export interface GetCommand extends Conditions {
  readonly kind: "get";
  /** Absent: the whole state. */
  readonly key: string | undefined;
  /** Also the events after this version; absent: none. */
  readonly events_after: number | undefined;
}

/** Writes one key. */
export interface SetCommand extends Conditions {
  readonly kind: "set";
  readonly key: string;
  /** Compact JSON text. */
  readonly value: string;
}

/** Ends one key; one that is not there too, and that is a write like any other. */
export interface DeleteCommand extends Conditions {
  readonly kind: "delete";
  readonly key: string;
}

/** Takes the room's lock, or extends the lease of the lock that the sender holds. */
export interface LockCommand extends Conditions {
  readonly kind: "lock";
  readonly ttl_ms: number;
}

/** Gives the lock back. */
export interface UnlockCommand extends Conditions {
  readonly kind: "unlock";
}

/** Sends a user or a connection out of the room. */
export interface KickCommand extends Conditions {
  readonly kind: "kick";
  readonly target_kind: "user" | "connection";
  readonly target: string;
  readonly reason: string;
}

/** How far a ban reaches. */
export type BanScope = "tenant" | "room";

/** Keeps a user out. */
export interface BanCommand extends Conditions {
  readonly kind: "ban";
  readonly user_id: string;
  readonly reason: string;
  /** Absent: until it is lifted. */
  readonly ttl_ms: number | undefined;
  readonly scope: BanScope;
}

/** Lifts a ban; one that does not stand too. */
export interface UnbanCommand extends Conditions {
  readonly kind: "unban";
  readonly user_id: string;
  readonly scope: BanScope;
}

/** Why a lock ended without its holder's `unlock`. */
export type FallCause = "expired" | "holder-left";

/** The Brain's own: ends a lock whose lease is over or whose holder is gone. Never from outside. */
export interface ReleaseCommand extends Conditions {
  readonly kind: "release";
  readonly cause: FallCause;
  /** The holder that left. */
  readonly connection_id: string;
}

/** Commands that act outside the document, before it is written. */
export type EffectCommand = KickCommand | BanCommand | UnbanCommand;

/** Commands that change the document. */
export type WriteCommand =
  | SetCommand
  | DeleteCommand
  | LockCommand
  | UnlockCommand
  | EffectCommand
  | ReleaseCommand;

/** What a room can be asked to do. */
export type RoomCommand = GetCommand | WriteCommand;

/** What a command carries that asks for nothing in particular. */
export const UNCONDITIONAL: Conditions = {
  from: { user_id: "", connection_id: "", trace_id: "" },
  expect_version: 0,
  after_version: 0,
  epoch: "",
  fence: 0,
  command_key: undefined,
};

/** True for the commands that act outside the document. */
export function isEffect(command: RoomCommand): command is EffectCommand {
  return command.kind === "kick" || command.kind === "ban" || command.kind === "unban";
}
