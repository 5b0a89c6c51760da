/**
 * What `Subscriptions` knows of one room, and how its loops hear of it. What changes it is there.
 */
import { ArqonError } from "@arqon/proto";
import type { PlainEnvelope, PlainEvent } from "@arqon/proto";
import { MemberTable } from "./member_table.ts";
import { gapMessage } from "./message.ts";
import type { Message } from "./message.ts";
import { MessageBuffer } from "./message_buffer.ts";
import { atLeastOne } from "./options.ts";
import type { Overlap } from "./overlap.ts";
import { Place } from "./position.ts";
import type { Position } from "./position.ts";
import { Presence } from "./presence.ts";
import { onAbort } from "./sleep.ts";
import type { Reader, SubscribeOptions } from "./subscription.ts";
import type { Wish } from "./wish.ts";

/** Metadata that no Shield has acknowledged yet. */
export interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Grows: the last one wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

/** A room on its way from one session to the next. */
export interface Move {
  readonly overlap: Overlap;
  /** The metadata of the SUB on the next session. */
  meta: Uint8Array;
  /** An ACK has come on the next session. */
  accepted: boolean;
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
  /** What the Shield of the present session has of it, if it has answered at all. */
  standing: Uint8Array;
  updates: MetaUpdate[];
  /** An ACK has come on some session: from now on a new SUB means that something may be lost. */
  heard: boolean;
  /** An ACK has come on the present session. */
  active: boolean;
  /** The bus has told a loss, and nothing has come since: a SUB that confirms it says nothing new. */
  told: boolean;
  /** After such a loss: a SUB has yet to tell where the room stands. */
  lost: boolean;
  retry?: ReturnType<typeof setTimeout> | undefined;
  /**
   * The loops get stored messages, and nothing stored that comes live: "find" as long as the first
   * of them is looked for.
   */
  replay?: "find" | "read" | undefined;
  /** Aborted when nobody hears the room any more. */
  readonly over: AbortController;
  /** Until everything that two sessions deliver has come on both. */
  move?: Move | undefined;
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
    standing: meta,
    updates: [],
    heard: false,
    active: false,
    told: false,
    lost: false,
    over: new AbortController(),
  };
}

/** The Shield of the present session lacks metadata that another one has taken, or that is new. */
export function isMetaDue({ meta, standing, updates }: RoomEntry): boolean {
  return updates.length > 0 || standing !== meta;
}

/** How a subscription ended that nobody can go on with. */
export function ended(): ArqonError {
  return new ArqonError("connection-closed", "the subscription has ended");
}

/** What a loop holds by default, in messages and bytes. */
const BUFFER = { buffer: 8_192, buffer_bytes: 33_554_432 };

/** A loop over a room; `now` gives Unix ms, `onEnd` hears that the program has left it. */
export function newReader(
  entry: RoomEntry,
  options: SubscribeOptions,
  now: () => number,
  onEnd: (reader: Reader) => void,
): Reader {
  const ready = Promise.withResolvers<void>();
  // Who does not look at `ready` still gets the error from the loop.
  ready.promise.catch(() => {});
  const { signal } = options;
  const buffer = new MessageBuffer<Message>({
    ...atLeastOne(options, BUFFER),
    on_overflow: options.on_overflow ?? "drop-newest",
    sizeOf: (message) => message.size_bytes,
    gap: (count) => gapMessage(entry.room, `${count} messages dropped here`, now()),
    onEnd: () => {
      stop();
      onEnd(reader);
    },
  });
  const presence = entry.table === undefined ? undefined : new Presence(entry.table);
  const reader: Reader = { buffer, ready, presence };
  entry.readers.add(reader);
  const stop = onAbort(signal, () => {
    ready.reject(signal?.reason);
    presence?.end(signal?.reason);
    buffer.drop(signal?.reason);
  });
  return reader;
}

/** Puts a GAP into every loop. */
export function tellGap(entry: RoomEntry, reason: string, now_ms: number): void {
  const gap = gapMessage(entry.room, reason, now_ms);
  for (const reader of entry.readers) reader.buffer.push(gap);
}

/** Tells the loops when the subscription stands, with the whole list of members if there is one. */
export function tellReady(entry: RoomEntry): void {
  if (!entry.active || entry.replay === "find" || entry.table?.complete === false) return;
  for (const reader of entry.readers) reader.ready.resolve();
}

/** Ends the loops: orderly without `error`, else by throwing it. */
export function endReaders(entry: RoomEntry, error: ArqonError | undefined): void {
  clearTimeout(entry.retry);
  entry.over.abort();
  entry.table?.lost();
  for (const update of entry.updates.splice(0)) update.reject(error ?? ended());
  for (const reader of [...entry.readers]) {
    entry.readers.delete(reader);
    if (error) reader.ready.reject(error);
    reader.presence?.end(error);
    reader.buffer.end(error);
  }
}

/** An event with which the bus tells who is in a room. */
export function isPresence(event: PlainEvent | undefined): event is PlainEvent {
  return event?.type === "PRESENCE_UPDATE" || event?.type === "PRESENCE_LEAVE";
}

/**
 * Whether a message of a room that is heard on two sessions is for the program now. `moving` is over
 * when the next session has become the present one.
 */
export function isDue(
  { overlap, accepted }: Move,
  envelope: PlainEnvelope,
  is_next: boolean,
  moving: boolean,
): boolean {
  if (is_next && !accepted) return false;
  const { event, offset, sender_id } = envelope;
  // The list of members is that of the last ACK that counts (`isLastList`).
  if (sender_id === "" && isPresence(event)) return !moving || is_next === accepted;
  if (offset !== 0) return true;
  return moving && !is_next ? overlap.hearOld(envelope) : overlap.hearNew(envelope);
}

/**
 * Whether the list in an ACK is the one that changes are heard of from here on. While the client moves,
 * an answer on the old session may come after that on the next one, and know less than it.
 */
export function isLastList({ move }: RoomEntry, is_next: boolean, moving: boolean): boolean {
  return is_next || !moving || move?.accepted !== true;
}

/** What becomes of a room when the next session is the present one. */
export interface Crossing {
  /** What the program gets now. */
  readonly held: readonly PlainEnvelope[];
  /** Why messages are missing before that. */
  readonly gap: string | undefined;
  /** Metadata has changed since the SUB on this session. */
  readonly old_meta: boolean;
}

/** `lossless`: the old session has delivered everything that was published before this. */
export function crossOver(entry: RoomEntry, lossless: boolean): Crossing {
  const { move, place } = entry;
  const stands = move?.accepted === true;
  const held = !move ? [] : move.overlap.cross();
  entry.active = stands;
  entry.lost = false;
  if (stands) entry.standing = move.meta;
  else entry.table?.moved();
  const missing = entry.heard && place.position === undefined && !(stands && lossless);
  const too_many = held === undefined ? "too many messages" : undefined;
  return {
    held: held ?? [],
    gap: missing ? "reconnect" : too_many,
    old_meta: stands && isMetaDue(entry),
  };
}
