/**
 * The state of one room as a pure value: keys with JSON texts, a version without gaps, an epoch, the last events, the
 * recent commands, a lock. `apply.ts` applies commands; `stored_document.ts` is its stored form.
 */
import type { Lock } from "../locks/lock.ts";
import type { RoomEvent } from "./room_event.ts";

/** One life of all rooms of a bus. */
export interface Life {
  /** The life's unique id. */
  readonly id: string;
  /** When it began, Unix ms by the clock of its first Brain. */
  readonly since_ms: number;
}

/** The granted lease of a lock. */
export interface Grant {
  /** The lock's fence; 0: the write under way assigns it. */
  readonly fence: number;
  /** When the lease ends, Unix ms. */
  readonly until_ms: number;
}

/** The answer to a command. */
export interface AppliedCommand {
  readonly version: number;
  /** The lock that it granted, if any. */
  readonly grant: Grant | undefined;
  /** When it was answered, by the room's `CommandClock`. */
  readonly at_ms: number;
}

/** A page of remembered commands, stored beside the document. */
export interface CommandPage {
  /** The page's unique name in its room. */
  readonly name: string;
  /** `at_ms` of the newest. */
  readonly newest_ms: number;
  readonly commands: number;
}

/** An epoch of an earlier life, and the room's last version in it. */
interface EarlierEpoch {
  readonly epoch: string;
  readonly version: number;
}

/** One room's state. Never changed in place. */
export interface RoomDocument {
  /** The life of the stored rooms that wrote this; undefined: not written yet. */
  readonly life: Life | undefined;
  /** Increases by one with each change of this epoch. */
  readonly version: number;
  /** The version at which the room was created, empty; 0: unknown, or in an earlier life. */
  readonly start: number;
  /**
   * Derived from the life and the creation revision (`life.ts`). Empty before creation, and in the stored form of the
   * first write, which cannot know its own revision.
   */
  readonly epoch: string;
  /** When the room was created, Unix ms; 0: unknown. */
  readonly created_ms: number;
  /** Key to compact JSON text, in order of first write. */
  readonly entries: ReadonlyMap<string, string>;
  /** Bytes of all entries in the stored form: what `brain.state_bytes` bounds. */
  readonly entries_bytes: number;
  /** Command key to its answer, oldest first; `command_pages.ts` bounds it. */
  readonly applied: ReadonlyMap<string, AppliedCommand>;
  /** Earlier epochs, oldest first, while commands are remembered: a command's version determines its epoch. */
  readonly earlier?: readonly EarlierEpoch[] | undefined;
  /** The pages of earlier commands, oldest first. */
  readonly pages: readonly CommandPage[];
  /** The newest events, oldest first, within the bounds of `room_event.ts`. */
  readonly events: readonly RoomEvent[];
  /** The lock; it may have expired. */
  readonly lock: Lock | undefined;
  /** The highest fence of any lock of the room; 0: none yet. */
  readonly last_fence: number;
}

/** The bounds of one room, from the config. */
export interface RoomLimits {
  /** The most bytes of the entries. */
  readonly state_bytes: number;
  readonly keys_per_room: number;
}

/** The document of a room without a write. */
export function emptyDocument(): RoomDocument {
  return {
    life: undefined,
    version: 0,
    start: 0,
    epoch: "",
    created_ms: 0,
    entries: new Map(),
    entries_bytes: 0,
    applied: new Map(),
    pages: [],
    events: [],
    lock: undefined,
    last_fence: 0,
  };
}

/** The line of an entry in the stored form. */
export function entryLine(key: string, value: string): string {
  return `${JSON.stringify(key)}\t${value}\n`;
}
