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

/** Who sent a command. */
export interface Sender {
  readonly user_id: string;
  /** The connection as the Shield named it; "" when there is none, as for a backend. */
  readonly connection_id: string;
  /** 32 hex digits; "" when the envelope had none. */
  readonly trace_id: string;
}

/** The conditions that every command carries besides its own members. */
export interface Conditions {
  readonly from: Sender;
  /** The version that the room must have; 0 is any. */
  readonly expect_version: Position;
  /** A version that the sender has seen: the room must have reached it; 0 is none. */
  readonly after_version: Position;
  /** The epoch of those two versions; empty is any. */
  readonly epoch: string;
  /** The fence of the lock that the sender holds; 0 is none. */
  readonly fence: Position;
  /** The sender and its command_id as one key; absent when the sender gave no id. */
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

/** Removes one key; removing a key that is not there is a write like any other. */
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

/** Puts a user or a connection out of the room. */
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

/** Lifts a ban, also one that does not exist. */
export interface UnbanCommand extends Conditions {
  readonly kind: "unban";
  readonly user_id: string;
  readonly scope: BanScope;
}

/** Why a lock ended without its holder's `unlock`. */
export type FallCause = "expired" | "holder-left";

/**
 * Ends a lock whose lease is over or whose holder is gone. The Brain itself makes it; it never
 * comes from outside.
 */
export interface ReleaseCommand extends Conditions {
  readonly kind: "release";
  readonly cause: FallCause;
  /** The holder that left. */
  readonly connection_id: string;
}

/** Commands that act outside the document; the act comes before the write. */
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

/** The conditions of a command that asks for none. */
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
  switch (command.kind) {
    case "kick":
    case "ban":
    case "unban":
      return true;
    case "get":
    case "set":
    case "delete":
    case "lock":
    case "unlock":
    case "release":
      return false;
    default:
      return command satisfies never;
  }
}
