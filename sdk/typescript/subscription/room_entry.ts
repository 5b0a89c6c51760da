/** The state of one room in `Subscriptions`, and the delivery to its loops. */
import { ArqonError, type PlainEnvelope, type PlainEvent } from "@arqon/proto";
import { checkPosition, type PatternPositions, Place, type Position } from "../durable/position.ts";
import { gapMessage, Message } from "../message/message.ts";
import { MessageBuffer } from "../message/message_buffer.ts";
import { assertWord, atLeastOne } from "../options/options.ts";
import { MemberTable, Presence } from "../presence/presence.ts";
import type { JsonInput } from "../request/room_request.ts";
import type { RepairOptions, StateRepair } from "../state/state_repair.ts";
import { onAbort } from "../time/clock.ts";
import { AHEAD_MAX, HELD_BYTES_MAX, HELD_MAX, UPDATES_MAX } from "../wire/bounds.ts";
import type { Reader, ReplayedRoom, SubscribeOptions } from "./subscription.ts";
import type { Subscription, SubTerms } from "./subscription.ts";

/** The SUB options of a loop. Throws TypeError for invalid or conflicting options. */
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

/** Throws TypeError unless the client is a member of the room; `what` is for members only. */
export function assertMember(room: string, { presence, observer }: SubTerms, what: string): void {
  if (presence && !observer) return;
  throw new TypeError(`room ${room}: ${what} needs presence: true and no observer`);
}

/**
 * Throws TypeError if another loop on a room has other options than the first loop's SUB. `member_meta` is JSON, empty
 * for none; `start`: it begins at a position.
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

/** An unacknowledged change of metadata. */
interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Its ascending number: the last change wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

/** A key that two copies of one message share: `X-Twist-ID`, or the ids of a backend's message. */
export function copyKey(envelope: PlainEnvelope): string {
  const { headers, sender_id, event, command, signal, timestamp_ms, message_id } = envelope;
  const what = event?.type ?? command?.name ?? signal?.kind;
  const own = [timestamp_ms, message_id, what, (event ?? command)?.data];
  return [sender_id, headers["X-Twist-ID"] ?? own].join("\n");
}

/**
 * One room received on two connections during a move: messages of the new connection are held until the old one has
 * delivered all that the new one may lack, and repeats of the old connection's messages are dropped. Only for messages
 * without an offset.
 */
export class Move {
  /** The metadata in the SUB that the next session has acknowledged; undefined: none yet. */
  accepted: Uint8Array | undefined;
  /** The JSON of that ACK. */
  answer: unknown;
  /** By key, how many copies the old connection has delivered and the new one has not yet. */
  readonly #ahead = new Map<string, number>();
  #held: PlainEnvelope[] = [];
  #held_bytes = 0;
  #overflown = false;
  #crossed = false;

  /** Records a message of the old connection. False if it is too late to be delivered. */
  hearOld(envelope: PlainEnvelope): boolean {
    if (this.#crossed) return false;
    const key = copyKey(envelope);
    this.#ahead.set(key, (this.#ahead.get(key) ?? 0) + 1);
    if (this.#ahead.size > AHEAD_MAX) {
      const [oldest = key] = this.#ahead.keys();
      this.#ahead.delete(oldest);
    }
    return true;
  }

  /** Records a message of the new connection. True if it is to be delivered now. */
  hearNew(envelope: PlainEnvelope): boolean {
    if (this.#crossed) return !this.#isRepeat(envelope);
    if (this.#overflown) return false;
    this.#held_bytes += new Message(envelope).size_bytes;
    this.#held.push(envelope);
    if (this.#held.length > HELD_MAX || this.#held_bytes > HELD_BYTES_MAX) {
      this.#overflown = true;
      this.#held = [];
    }
    return false;
  }

  /**
   * Crosses over: from now on only the new connection counts. Returns the held messages to deliver, in order; undefined
   * if too many were held.
   */
  cross(): PlainEnvelope[] | undefined {
    this.#crossed = true;
    const held = this.#held.filter((envelope) => !this.#isRepeat(envelope));
    this.#held = [];
    return this.#overflown ? undefined : held;
  }

  #isRepeat(envelope: PlainEnvelope): boolean {
    const key = copyKey(envelope);
    const count = this.#ahead.get(key);
    if (count === undefined) return false;
    if (count > 1) this.#ahead.set(key, count - 1);
    else this.#ahead.delete(key);
    return true;
  }
}

/** One room that this connection receives. */
export interface RoomEntry extends ReplayedRoom {
  readonly room: string;
  /** The last metadata that a Shield accepted, or the initial one, as JSON; empty: none. */
  meta: Uint8Array;
  /**
   * The metadata that the Shield of the present session has, if it has answered. Undefined until the first ACK on any
   * session: after it a new SUB means that messages may be lost.
   */
  standing?: Uint8Array;
  updates: MetaUpdate[];
  /** Retry timers of the SUB by session: during a move both sessions may have refused it. */
  readonly retries: Map<object, ReturnType<typeof setTimeout>>;
  /** Set until both sessions have delivered the same messages. */
  move?: Move | undefined;
  /** The positions of a pattern's rooms; with `connect` of `@arqon/sdk/patterns` only. */
  positions?: PatternPositions | undefined;
  /** Fetches missed changes of the room's state, if the program has asked for a state. */
  repair?: StateRepair | undefined;
}

/** Creates the repair of a room's state; `@arqon/sdk/state` provides it. */
export type Mend = (entry: RoomEntry, options: RepairOptions) => StateRepair;

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

/** Whether the present session's Shield lacks metadata, new or accepted by another Shield. */
export function isMetaDue({ meta, standing, updates }: RoomEntry): boolean {
  return updates.length > 0 || standing !== meta;
}

/** Queues new metadata; resolves when a Shield has accepted it. Throws `too-many-pending`. */
export function addUpdate({ updates }: RoomEntry, number: number, meta: Uint8Array): Promise<void> {
  if (updates.length >= UPDATES_MAX) throw new ArqonError("too-many-pending", `${UPDATES_MAX}`);
  const update = { ...Promise.withResolvers<void>(), number, meta };
  updates.push(update);
  return update.promise;
}

/** Whether a new session means missing messages that no position can recover. */
export function isUnplaced({ standing, place: { position, reading } }: RoomEntry): boolean {
  return !!standing && !position && !reading;
}

/** The error of an ended subscription. */
export function ended(): ArqonError {
  return new ArqonError("connection-closed", "the subscription has ended");
}

/** Default bounds of a loop's buffer, in messages and bytes. */
const BUFFER = { buffer: 8_192, buffer_bytes: 33_554_432 };

/** A loop over a room; `now` returns Unix ms, `onEnd` is called when the program leaves it. */
export function newLoop(
  entry: RoomEntry,
  options: SubscribeOptions,
  now: () => number,
  onEnd: (reader: Reader) => void,
  update: (reader: Reader, member_meta: JsonInput) => Promise<void>,
): Subscription {
  const { room, place } = entry;
  const ready = Promise.withResolvers<void>();
  // A program that ignores `ready` still gets the error from the loop.
  ready.promise.catch(() => {});
  const { signal } = options;
  const buffer = new MessageBuffer<Message>({
    ...atLeastOne(options, BUFFER),
    on_overflow: options.on_overflow ?? "drop-newest",
    sizeOf: (message) => message.size_bytes,
    gap: (count) => gapMessage(room, `${count} messages dropped here`, now()),
    onEnd: () => {
      stop();
      onEnd(reader);
    },
  });
  const presence = entry.table && new Presence(entry.table);
  const reader: Reader = { buffer, ready, presence };
  entry.readers.add(reader);
  const stop = onAbort(signal, () => {
    ready.reject(signal?.reason);
    presence?.end(signal?.reason);
    buffer.drop(signal?.reason);
  });
  const close = () => void buffer.return();
  return {
    room,
    ready: ready.promise,
    presence,
    get position() {
      return place.position;
    },
    get offset() {
      return place.position?.offset;
    },
    get epoch() {
      return place.position?.epoch;
    },
    get recovered() {
      return place.recovered;
    },
    update: (member_meta) => update(reader, member_meta),
    close,
    next: () => buffer.next(),
    return: () => buffer.return(),
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.dispose]: close,
  };
}

/** Delivers a GAP to every loop. */
export function tellGap(
  { room, readers }: Pick<RoomEntry, "room" | "readers">,
  reason: string,
  now_ms: number,
): void {
  const gap = gapMessage(room, reason, now_ms);
  for (const { buffer } of readers) buffer.push(gap);
}

/** Resolves `ready` of the loops: SUB, members and the first page of the history are complete. */
export function tellReady(entry: ReplayedRoom): void {
  const { active, place: { reading, position }, table } = entry;
  if (!active || (reading && !position) || table?.complete === false) return;
  for (const reader of entry.readers) reader.ready.resolve();
}

/** Cancels all retries of the SUB. */
export function cancelRetries({ retries }: RoomEntry): void {
  for (const timer of retries.values()) clearTimeout(timer);
  retries.clear();
}

/** Ends the loops: normally without `error`, otherwise by throwing it. */
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

/** Whether an event is one of the bus's presence events. */
export function isPresence(event: PlainEvent | undefined): event is PlainEvent {
  return event?.type === "PRESENCE_UPDATE" || event?.type === "PRESENCE_LEAVE";
}

/** Whether a message is to be delivered now; `moving` until the next session is the present one. */
export function isDue(
  { room, move, place }: RoomEntry,
  envelope: PlainEnvelope,
  is_next: boolean,
  moving: boolean,
): boolean {
  if (!move) return true;
  if (is_next && !move.accepted) return false;
  const { event, offset, room_id, sender_id, signal } = envelope;
  // The list of members belongs to the session with the last ACK.
  if (sender_id === "" && isPresence(event)) return !moving || is_next === !!move.accepted;
  // The position detects new messages; the rooms of a pattern have none here.
  const placed = offset || (place.position && signal?.kind === "GAP");
  if (placed && room === room_id) return true;
  return moving && !is_next ? move.hearOld(envelope) : move.hearNew(envelope);
}

/** Crosses a room over to the next session. Returns the messages to deliver, and the reason if some are missing. */
export function crossOver(
  entry: RoomEntry,
  lossless: boolean,
): [held: readonly PlainEnvelope[], gap: string | undefined] {
  const { move } = entry;
  const stands = move?.accepted;
  const held = move ? move.cross() : [];
  entry.active = !!stands;
  if (stands) entry.standing = stands;
  else entry.table?.moved();
  // The old session may never have accepted it.
  tellReady(entry);
  const missing = isUnplaced(entry) && !(stands && lossless);
  const too_many = held ? undefined : "too many messages";
  return [held ?? [], missing ? "reconnect" : too_many];
}
