/**
 * The state of one room as a pure value: keys with JSON texts, a version without gaps, an epoch, the
 * last events, the commands applied last, a lock. What commands do to it is `apply.ts`; its stored
 * form is `stored_document.ts`.
 */
import type { Lock } from "./lock.ts";
import type { RoomEvent } from "./room_event.ts";

/** How many commands a room remembers to answer a repetition (design.md 5). */
export const APPLIED_MAX = 64;

/** The lease that a lock was given. */
export interface Grant {
  /** 0: that of the write under way. */
  readonly fence: number;
  /** Unix ms. */
  readonly until_ms: number;
}

/** What a command was answered with. */
export interface AppliedCommand {
  readonly version: number;
  /** Of a lock. */
  readonly grant: Grant | undefined;
}

/** One room's state. Never changed in place. */
export interface RoomDocument {
  /** Successful writes in this epoch. */
  readonly version: number;
  /**
   * The creation revision as decimal text. Empty before, and in the stored form of the first write,
   * which cannot know its own revision.
   */
  readonly epoch: string;
  /** Unix ms; 0: unknown. */
  readonly created_ms: number;
  /** Unix ms of the last write, or of the last time that its owner saw it in use; 0: unknown. */
  readonly touched_ms: number;
  /** Key to compact JSON text, in order of first write. */
  readonly entries: ReadonlyMap<string, string>;
  /** Bytes of all entries in the stored form: what `[brain] state_bytes` bounds. */
  readonly entries_bytes: number;
  /** Command key to what it was answered, oldest first; at most APPLIED_MAX. */
  readonly applied: ReadonlyMap<string, AppliedCommand>;
  /** The newest, oldest first, within the bounds of `room_event.ts`. */
  readonly events: readonly RoomEvent[];
  /** Perhaps one whose lease is over. */
  readonly lock: Lock | undefined;
}

/** Bounds of one room, from the config. */
export interface RoomLimits {
  /** Bytes that the entries may take. */
  readonly state_bytes: number;
  readonly keys_per_room: number;
}

/** A room that nobody has written to. */
export function emptyDocument(): RoomDocument {
  return {
    version: 0,
    epoch: "",
    created_ms: 0,
    touched_ms: 0,
    entries: new Map(),
    entries_bytes: 0,
    applied: new Map(),
    events: [],
    lock: undefined,
  };
}

/** The text of an entry in the stored form. */
export function entryLine(key: string, value: string): string {
  return `${JSON.stringify(key)}\t${value}\n`;
}
