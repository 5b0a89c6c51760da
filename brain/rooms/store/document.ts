/**
 * The state of one room as a pure value: keys with JSON texts, a version without gaps, an epoch, the
 * last events, the commands answered lately, a lock. What commands do to it is `apply.ts`; its stored
 * form is `stored_document.ts`.
 */
import type { Life } from "./life.ts";
import type { Lock } from "../locks/lock.ts";
import type { RoomEvent } from "./room_event.ts";

/** The lease that a lock was given. */
export interface Grant {
  /** The lock's fence; 0: the write under way gives it. */
  readonly fence: number;
  /** When the lease ends, Unix ms. */
  readonly until_ms: number;
}

/** What a command was answered with. */
export interface AppliedCommand {
  readonly version: number;
  /** The lock that it granted, if any. */
  readonly grant: Grant | undefined;
  /** When it was answered, by the room's `CommandClock`. */
  readonly at_ms: number;
}

/** A page of remembered commands, stored beside the document. */
export interface CommandPage {
  /** The page's name in its room; two different pages never have the same one. */
  readonly name: string;
  /** `at_ms` of the newest. */
  readonly newest_ms: number;
  /** The number of commands in it. */
  readonly commands: number;
}

/** An epoch of an earlier life, and the room's last version in it. */
export interface EarlierEpoch {
  readonly epoch: string;
  readonly version: number;
}

/** One room's state. Never changed in place. */
export interface RoomDocument {
  /**
   * The life of the stored rooms that wrote this; undefined: nobody has written it yet.
   */
  readonly life: Life | undefined;
  /** Grows by one with each write of this epoch. */
  readonly version: number;
  /**
   * The version at which the room was created, with nothing in it; 0: it is not known, or was in an
   * earlier life.
   */
  readonly start: number;
  /**
   * Made from the life and the creation revision (`life.ts`). Empty before, and in the stored form of
   * the first write, which cannot know its own revision.
   */
  readonly epoch: string;
  /** When the room was made, Unix ms; 0: unknown. */
  readonly created_ms: number;
  /** Key to compact JSON text, in order of first write. */
  readonly entries: ReadonlyMap<string, string>;
  /** Bytes of all entries in the stored form: what `[brain] state_bytes` bounds. */
  readonly entries_bytes: number;
  /** Command key to what the command was answered, oldest first; `command_memory.ts` bounds it. */
  readonly applied: ReadonlyMap<string, AppliedCommand>;
  /** Oldest first, while commands are remembered: in which of them one was answered, its version says. */
  readonly earlier?: readonly EarlierEpoch[] | undefined;
  /** The pages of the commands before those, oldest first. */
  readonly pages: readonly CommandPage[];
  /** The newest events, oldest first, within the bounds of `room_event.ts`. */
  readonly events: readonly RoomEvent[];
  /** The lock; its lease may be over. */
  readonly lock: Lock | undefined;
  /** The highest fence that a lock of the room has had; 0: there was no lock. */
  readonly last_fence: number;
}

/** The bounds of one room, from the config. */
export interface RoomLimits {
  /** Bytes that the entries may take. */
  readonly state_bytes: number;
  readonly keys_per_room: number;
}

/** The document of a room that nobody has written to. */
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
