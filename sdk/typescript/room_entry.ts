/**
 * What `Subscriptions` knows of one room. Data only: what changes it is there.
 */
import { MemberTable } from "./member_table.ts";
import { Place } from "./position.ts";
import type { Position } from "./position.ts";
import type { Reader } from "./subscription.ts";
import type { Wish } from "./wish.ts";

/** Metadata that no Shield has acknowledged yet. */
export interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Grows: the last one wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

/** One room that this connection hears. */
export interface RoomEntry {
  readonly room: string;
  readonly wish: Wish;
  readonly readers: Set<Reader>;
  /** With `presence` only. */
  readonly table: MemberTable | undefined;
  readonly place: Place;
  /** JSON of the metadata that a Shield took last, or the first; empty: none. */
  meta: Uint8Array;
  updates: MetaUpdate[];
  /** An ACK has come on some session: from now on a new SUB means that something may be lost. */
  heard: boolean;
  /** An ACK has come on the present session. */
  active: boolean;
  /** The bus has told a loss, and nothing has come since: a SUB that confirms it says nothing new. */
  told: boolean;
  /** After such a loss: a SUB has yet to tell where the room stands. */
  lost: boolean;
  retry: ReturnType<typeof setTimeout> | undefined;
}

/** A room without loops, for which no SUB was sent. `meta` is JSON, empty for none. */
export function newEntry(
  room: string,
  wish: Wish,
  meta: Uint8Array,
  position: Position | undefined,
): RoomEntry {
  return {
    room,
    wish,
    readers: new Set(),
    table: wish.presence ? new MemberTable() : undefined,
    place: new Place(position, wish.no_echo),
    meta,
    updates: [],
    heard: false,
    active: false,
    told: false,
    lost: false,
    retry: undefined,
  };
}
