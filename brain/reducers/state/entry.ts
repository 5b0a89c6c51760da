/**
 * An entry of a room's log, and what it came to. All that a reducer may know is in the entry: time,
 * randomness and who asks. Plain data.
 */
import type { Answered, Timer } from "./room_state.ts";

interface Placed {
  /** Position in the room's log, above 0 and above that of the entry before. */
  readonly offset: number;
  /** When it was written, in Unix ms by the clock of who wrote it, which may have gone back. */
  readonly time_ms: number;
  /** 16 bytes that nobody could guess before the entry was written; the command's randomness. */
  readonly seed: Uint8Array;
}

/** A command of a client. */
export interface CommandEntry extends Placed {
  readonly kind: "command";
  readonly command: string;
  readonly data: Uint8Array;
  /** The sender's own id of it; "" where it has none and a repetition is a command of its own. */
  readonly id: string;
  readonly user_id: string;
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** The time of a timer has come. The state says which command that is. */
export interface TimerEntry extends Placed {
  readonly kind: "timer";
  readonly key: string;
}

/** Another module becomes the program of the room, and makes what was written before its own. */
export interface MigrateEntry extends Placed {
  readonly kind: "migrate";
  /** Hex SHA-256 of the previous module. */
  readonly from: string;
  /** The number of the deploy that it comes of; 0: the configuration. */
  readonly deploy: number;
}

/** One entry. */
export type LogEntry = CommandEntry | TimerEntry | MigrateEntry;

/** An event for the room, or for some in it. */
export interface RoomEvent {
  readonly type: string;
  readonly data: Uint8Array;
  /** "" for everybody, `user:ID` or `role:NAME`. */
  readonly to: string;
}

/** Why a reducer did not come to a verdict. */
export type ReducerFault = "fuel" | "trap" | "memory" | "abi" | "bounds";

/** What an entry came to. Unless `kind` is `applied`, it has changed no value, timer or event. */
export interface Outcome extends Answered {
  readonly fault: ReducerFault | undefined;
  /** What was wrong, in words for people; may differ between engines. */
  readonly detail: string;
  /** The offset of the command that this one repeats; its answer is this one's. */
  readonly repeats: number | undefined;
  readonly events: readonly RoomEvent[];
  /** What it has written by key; null: deleted. */
  readonly changes: ReadonlyMap<string, Uint8Array | null>;
  /** What it has scheduled by key; null: taken back. */
  readonly scheduled: ReadonlyMap<string, Timer | null>;
}
