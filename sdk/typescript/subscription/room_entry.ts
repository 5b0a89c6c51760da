/** What `Subscriptions` knows of one room, and how its loops learn of it. */
import { checkPosition, Place, type Position } from "../durable/position.ts";
import { assertWord, atLeastOne } from "../options/options.ts";
import type { Reader, SubscribeOptions, SubscriptionsOptions } from "./subscription.ts";
import { ArqonError, type PlainEnvelope, type PlainEvent } from "@arqon/proto";
import { onAbort } from "../time/clock.ts";
import { MemberTable, Presence } from "../presence/presence.ts";
import { gapMessage, type Message } from "../message/message.ts";
import { MessageBuffer } from "../message/message_buffer.ts";
import type { Overlap } from "../message/overlap.ts";
import type { StateRepair } from "../state/state_repair.ts";
import { UPDATES_MAX } from "../wire/bounds.ts";

/** The options of a SUB, on which all loops on a room must agree. */
interface SubTerms {
  readonly no_echo: boolean;
  readonly presence: boolean;
  readonly observer: boolean;
  readonly filter: string;
}

/** The options that a loop asks for. Throws TypeError for options that cannot work together or at all. */
export function subTermsOf(room: string, options: SubscribeOptions): SubTerms {
  const { no_echo = false, presence = false, observer = false, filter = "", member_meta } = options;
  const terms = { no_echo, presence, observer, filter };
  if (member_meta !== undefined) assertMember(room, terms, "member_meta");
  const { begin, position, on_overflow } = options;
  assertWord("on_overflow", on_overflow, ["error", "drop-oldest", "drop-newest"]);
  if (position) checkPosition(position);
  if (begin && position) throw new TypeError(`room ${room}: begin or position, not both`);
  if (observer && !presence) throw new TypeError(`room ${room}: observer needs presence: true`);
  return terms;
}

/** Throws TypeError unless the room is heard as a member; `what` is for members only. */
export function assertMember(room: string, { presence, observer }: SubTerms, what: string): void {
  if (presence && !observer) return;
  throw new TypeError(`room ${room}: ${what} needs presence: true and no observer`);
}

/**
 * Throws TypeError when another loop on a room wants something that the first loop's SUB does not
 * say. `member_meta` is JSON, empty for none; `start`: it does not begin now.
 */
export function assertAgreed(
  { room, terms, meta }: RoomEntry,
  wanted: SubTerms,
  member_meta: Uint8Array,
  start: unknown,
): void {
  const refuse = (why: string) => {
    throw new TypeError(`room ${room} is subscribed${why}`);
  };
  for (const name of Object.keys(terms) as (keyof SubTerms)[]) {
    if (terms[name] !== wanted[name]) refuse(` with ${name} = ${terms[name]}`);
  }
  if (member_meta.length > 0 && member_meta.join() !== meta.join()) {
    refuse(" with other member_meta");
  }
  if (start) refuse("; it has begun");
}

/** A change of metadata that no Shield has acknowledged yet. */
interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Its number, which grows: the last change wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

/** A room on its way from one session to the next. */
interface Move {
  readonly overlap: Overlap;
  /** The metadata in the SUB on the next session. */
  meta: Uint8Array;
  /** True when an ACK has come on the next session. */
  accepted: boolean;
}

/** One room that this connection receives. */
export interface RoomEntry {
  readonly room: string;
  readonly terms: SubTerms;
  readonly readers: Set<Reader>;
  /** The members; with `presence` only. */
  readonly table: MemberTable | undefined;
  readonly place: Place;
  /** The metadata that a Shield took last, or the first one, as JSON; empty: none. */
  meta: Uint8Array;
  /**
   * The metadata that the Shield of the present session has, if it has answered at all. Undefined until an
   * ACK has come on some session: from then on a new SUB means that something may be lost.
   */
  standing?: Uint8Array;
  updates: MetaUpdate[];
  /** True when an ACK has come on the present session. */
  active: boolean;
  /** By session, when its SUB is sent again: during a move both sessions may have refused it. */
  readonly retries: Map<object, ReturnType<typeof setTimeout>>;
  /** Aborted when no loop of the program subscribes to the room. */
  readonly over: AbortController;
  /** Set until everything that two sessions deliver has come on both. */
  move?: Move | undefined;
  /** Fetches missed changes of the room's state, if the program has asked for a state. */
  repair?: StateRepair | undefined;
}

/** Makes what repairs the state of a room that is heard; `@arqon/sdk/state` brings it. */
export type Mend = (
  entry: RoomEntry,
  options: Pick<SubscriptionsOptions, "now" | "random">,
) => StateRepair;

/** A room without loops, for which no SUB was sent. `meta` is JSON, empty for none. */
export function newEntry(
  room: string,
  terms: SubTerms,
  meta: Uint8Array,
  position: Position | undefined,
): RoomEntry {
  return {
    room,
    terms,
    readers: new Set(),
    table: terms.presence ? new MemberTable() : undefined,
    place: new Place(position, terms.no_echo),
    meta,
    updates: [],
    active: false,
    retries: new Map(),
    over: new AbortController(),
  };
}

/** Whether the present session's Shield lacks metadata, new or taken by another Shield. */
export function isMetaDue({ meta, standing, updates }: RoomEntry): boolean {
  return updates.length > 0 || standing !== meta;
}

/** Takes note of new metadata; resolves when a Shield has it. Throws `too-many-pending`. */
export function addUpdate({ updates }: RoomEntry, number: number, meta: Uint8Array): Promise<void> {
  if (updates.length >= UPDATES_MAX) throw new ArqonError("too-many-pending", `${UPDATES_MAX}`);
  const update = { ...Promise.withResolvers<void>(), number, meta };
  updates.push(update);
  return update.promise;
}

/** Whether messages are missing when the room is heard on another session, which no position tells. */
export function isUnplaced({ standing, place: { position, reading } }: RoomEntry): boolean {
  return !!standing && !position && !reading;
}

/** The error of a subscription that cannot go on. */
export function ended(): ArqonError {
  return new ArqonError("connection-closed", "the subscription has ended");
}

/** What the buffer of a loop holds by default, in messages and bytes. */
const BUFFER = { buffer: 8_192, buffer_bytes: 33_554_432 };

/** A loop over a room; `now` gives Unix ms, `onEnd` is called when the program has left it. */
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

/** Tells the loops that all stands: the SUB, the members, the first page of the history. */
export function tellReady(entry: RoomEntry): void {
  const { active, place: { reading, position }, table } = entry;
  if (!active || (reading && !position) || table?.complete === false) return;
  for (const reader of entry.readers) reader.ready.resolve();
}

/** From here on no SUB is sent again on its own. */
export function cancelRetries({ retries }: RoomEntry): void {
  for (const timer of retries.values()) clearTimeout(timer);
  retries.clear();
}

/** Ends the loops: orderly without `error`, else by throwing it. */
export function endReaders(entry: RoomEntry, error: ArqonError | undefined): void {
  cancelRetries(entry);
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

/** Whether an event is one with which the bus tells who is in a room. */
export function isPresence(event: PlainEvent | undefined): event is PlainEvent {
  return event?.type === "PRESENCE_UPDATE" || event?.type === "PRESENCE_LEAVE";
}

/** Whether a message is for the program now; `moving` until the next session is present. */
export function isDue(
  { room, move, place }: RoomEntry,
  envelope: PlainEnvelope,
  is_next: boolean,
  moving: boolean,
): boolean {
  if (!move) return true;
  const { overlap, accepted } = move;
  if (is_next && !accepted) return false;
  const { event, offset, room_id, sender_id, signal } = envelope;
  // The list of members is that of the last ACK that counts.
  if (sender_id === "" && isPresence(event)) return !moving || is_next === accepted;
  // Its position tells what is new; the rooms of a pattern have none here.
  const placed = offset || (place.position && signal?.kind === "GAP");
  if (placed && room === room_id) return true;
  return moving && !is_next ? overlap.hearOld(envelope) : overlap.hearNew(envelope);
}

/** Crosses a room over to the next session. Returns what the program gets, and why not all. */
export function crossOver(
  entry: RoomEntry,
  lossless: boolean,
): [held: readonly PlainEnvelope[], gap: string | undefined] {
  const { move } = entry;
  const stands = move?.accepted === true;
  const held = !move ? [] : move.overlap.cross();
  entry.active = stands;
  if (stands) entry.standing = move.meta;
  else entry.table?.moved();
  const missing = isUnplaced(entry) && !(stands && lossless);
  const too_many = held === undefined ? "too many messages" : undefined;
  return [held ?? [], missing ? "reconnect" : too_many];
}
