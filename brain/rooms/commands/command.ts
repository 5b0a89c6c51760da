/** The commands of a room as plain data. `room_commands.ts` reads them, `apply.ts` applies them. */

/** A number from the wire, which may exceed 2^53. */
export type Position = number | bigint;

/** Who sent a command. */
export interface Sender {
  readonly user_id: string;
  /** The connection's id from the Shield; "" without one, as for a backend. */
  readonly connection_id: string;
  /** 32 hex digits; "" if the envelope has none. */
  readonly trace_id: string;
}

/** The conditions that every command carries besides its own members. */
export interface Conditions {
  readonly from: Sender;
  /** The version that the room must have; 0: any. */
  readonly expect_version: Position;
  /** A version that the sender has seen, and that the room must have reached; 0: none. */
  readonly after_version: Position;
  /** The epoch of those two versions; empty: any. */
  readonly epoch: string;
  /** The fence of the sender's lock; 0: none. */
  readonly fence: Position;
  /** The sender and its command_id as one key; absent without an id. */
  readonly command_key: string | undefined;
}

/** Reads one key or everything. */
export interface GetCommand extends Conditions {
  readonly kind: "get";
  /** Absent: the whole state. */
  readonly key: string | undefined;
  /** Include the events after this version; absent: none. */
  readonly events_after: number | undefined;
}

/** Writes one key. */
export interface SetCommand extends Conditions {
  readonly kind: "set";
  readonly key: string;
  /** Compact JSON text. */
  readonly value: string;
}

/** Removes one key; removing a missing key is a write, too. */
export interface DeleteCommand extends Conditions {
  readonly kind: "delete";
  readonly key: string;
}

/** Takes the room's lock, or extends the lease of the lock that the sender holds. */
export interface LockCommand extends Conditions {
  readonly kind: "lock";
  readonly ttl_ms: number;
}

/** Releases the lock. */
export interface UnlockCommand extends Conditions {
  readonly kind: "unlock";
}

/** Kicks a user or a connection from the room. */
export interface KickCommand extends Conditions {
  readonly kind: "kick";
  readonly target_kind: "user" | "connection";
  readonly target: string;
  readonly reason: string;
}

/** The scope of a ban. */
export type BanScope = "tenant" | "room";

/** Bans a user. */
export interface BanCommand extends Conditions {
  readonly kind: "ban";
  readonly user_id: string;
  readonly reason: string;
  /** Duration; absent: until it is lifted. */
  readonly ttl_ms: number | undefined;
  readonly scope: BanScope;
}

/** Lifts a ban; a missing one is no error. */
export interface UnbanCommand extends Conditions {
  readonly kind: "unban";
  readonly user_id: string;
  readonly scope: BanScope;
}

/** Why a lock ended without its holder's `unlock`. */
export type FallCause = "expired" | "holder-left";

/** Ends a lock that has expired or whose holder has left. Only the Brain itself creates it; clients cannot send it. */
export interface ReleaseCommand extends Conditions {
  readonly kind: "release";
  readonly cause: FallCause;
  readonly connection_id: string;
}

/** Commands with an effect outside the document; the effect precedes the write. */
export type EffectCommand = KickCommand | BanCommand | UnbanCommand;

/** Commands that change the document. */
export type WriteCommand =
  | SetCommand
  | DeleteCommand
  | LockCommand
  | UnlockCommand
  | EffectCommand
  | ReleaseCommand;

/** Any command of a room. */
export type RoomCommand = GetCommand | WriteCommand;

/** No conditions. */
export const UNCONDITIONAL: Conditions = {
  from: { user_id: "", connection_id: "", trace_id: "" },
  expect_version: 0,
  after_version: 0,
  epoch: "",
  fence: 0,
  command_key: undefined,
};

/** True for commands with an effect outside the document. */
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
