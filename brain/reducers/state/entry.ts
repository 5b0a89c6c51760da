/**
 * An entry of a room's log, and its outcome. A reducer knows only what is in the entry: time, randomness and sender.
 * Plain data.
 */
import type { Answered, Timer } from "./room_state.ts";

interface Placed {
  /** Position in the room's log, above 0 and above the previous entry's. */
  readonly offset: number;
  /** When it was written, Unix ms by the writer's clock, which may have gone back. */
  readonly time_ms: number;
  /** 16 bytes of the command's randomness, unpredictable before the entry was written. */
  readonly seed: Uint8Array;
}

/** A command and its sender. */
export interface Asked {
  readonly command: string;
  readonly data: Uint8Array;
  /** The sender's id of the command; "" if it has none, and then a repetition is a new command. */
  readonly id: string;
  readonly user_id: string;
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** A command of a client. */
export interface CommandEntry extends Placed, Asked {
  readonly kind: "command";
}

/** A timer is due. The state has its command. */
export interface TimerEntry extends Placed {
  readonly kind: "timer";
  readonly key: string;
}

/** Another module becomes the program of the room, and migrates its values. */
export interface MigrateEntry extends Placed {
  readonly kind: "migrate";
  /** Hex SHA-256 of the previous module. */
  readonly from: string;
  /** The number of the deploy; 0: the configuration. */
  readonly deploy: number;
}

/** An entry of any kind, by `kind`. */
export type LogEntry = CommandEntry | TimerEntry | MigrateEntry;

/** An event for all subscribers of the room, or for some. */
export interface RoomEvent {
  readonly type: string;
  readonly data: Uint8Array;
  /** "" for everybody, `user:ID` or `role:NAME`. */
  readonly to: string;
}

/** Why a reducer reached no verdict. */
export type ReducerFault = "fuel" | "trap" | "memory" | "abi" | "bounds";

/** The outcome of an entry. Unless `kind` is `applied`, no value, timer or event has changed. */
export interface Outcome extends Answered {
  readonly fault: ReducerFault | undefined;
  /** What was wrong, for people; may differ between engines. */
  readonly detail: string;
  /** The offset of the command that this one repeats, with the same answer. */
  readonly repeats: number | undefined;
  readonly events: readonly RoomEvent[];
  /** Changed values by key; null: deleted. */
  readonly changes: ReadonlyMap<string, Uint8Array | null>;
  /** Changed timers by key; null: cancelled. */
  readonly scheduled: ReadonlyMap<string, Timer | null>;
}
