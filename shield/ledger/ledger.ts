/**
 * The ledger of one Shield: what its rooms were sent and whom it did not reach, as rows in memory,
 * bounded in bytes and time. A message is one row whatever the number of its receivers; a subscription
 * and a connection are one row when they end. Pure: the time is handed in. Reading is `scan.ts`.
 */
import {
  HEAD_BYTES,
  KIND,
  messageSize,
  ROW_BYTES_MAX,
  writeEcho,
  writeHead,
  writeMessage,
} from "./row_form.ts";
import { idsOf } from "../message/message_ids.ts";
import { addTo, extend, leftOutSize, nextCapacity, writeLeftOut } from "./left_out_rows.ts";
import type { RunningRow, SegmentPlace } from "./left_out_rows.ts";
import type { LivingConnection, SubscriptionMark } from "../fanout/delivery_notes.ts";
import type {
  ConnectionEnd,
  LeftOutWhy,
  PassedOver,
  PastRead,
  Refusal,
  SubscriptionEnd,
} from "./row_facts.ts";

/** Bytes of one segment: what is given up at once when the ledger is full. */
const SEGMENT_BYTES = 262_144;
/** A segment takes rows for this part of the time that they are kept. */
const SEGMENTS_KEPT = 8;
/** Bytes behind the head of a row of refusals, before its text: count, last time. */
export const REFUSED_BYTES = 4 + 8;

/** The bounds of a ledger. */
export interface LedgerBounds {
  /** The most bytes of rows and rooms. */
  readonly bytes_max: number;
  /** How long rows are kept at most, in ms. */
  readonly kept_ms: number;
  /** Unix ms of a clock that never jumps: rows are as old as it says. */
  readonly now: () => number;
}

/** A stretch of rows, in the order in which things happened. */
export interface Segment {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** Which segment since the start it is. */
  readonly number: number;
  /** When it began, Unix ms. */
  readonly start_ms: number;
  /** The position of its first message. */
  readonly first_position: number;
  used: number;
  /** How rows that are made longer refer to it. */
  place: SegmentPlace;
}

/** Running totals since the start of the process. */
export interface LedgerCounts {
  messages: number;
  rows: number;
}

/** The ledger. Positions number its messages, of all rooms together, from 1. */
export class Ledger {
  readonly counts: LedgerCounts = { messages: 0, rows: 0 };
  readonly rooms = new LedgerRooms();
  readonly #bounds: LedgerBounds;
  readonly #encoder = new TextEncoder();
  readonly #text = new Uint8Array(ROW_BYTES_MAX - HEAD_BYTES - REFUSED_BYTES);
  #segments: Segment[] = [];
  #segment: Segment;
  #position = 1;
  /** The position that is being sent; 0: none. */
  #sending = 0;
  #message_start = 0;
  #connections = 0;
  #subscriptions = 0;
  #since_ms: number;

  constructor(bounds: LedgerBounds) {
    this.#bounds = bounds;
    this.#since_ms = bounds.now();
    this.#segment = this.#open();
  }

  /** The position of the next message. */
  get position(): number {
    return this.#position;
  }

  /** The position of the message that is being sent, else of the next one. */
  get current(): number {
    return this.#sending === 0 ? this.#position : this.#sending;
  }

  /** The time of a row that is written now, Unix ms. */
  get now_ms(): number {
    return this.#bounds.now();
  }

  /** Since when the ledger knows everything, Unix ms. */
  get since_ms(): number {
    return this.#since_ms;
  }

  /** Bytes that the ledger holds. */
  get bytes(): number {
    return this.#segments.length * SEGMENT_BYTES + this.rooms.bytes;
  }

  /** The segments, the oldest first; a list that later rows do not change, but its last segment grows. */
  get segments(): readonly Segment[] {
    return [...this.#segments];
  }

  /** Connections with a new subscription, for the store; undefined: nothing is stored. */
  joined: { add(connection: LivingConnection): unknown } | undefined;

  /** From now on no row that there is by now is made longer in its place. */
  seal(): void {
    this.#segment.place.segment = undefined;
    this.#segment.place = { segment: this.#segment };
  }

  /** The number of a new connection. */
  nextConnection(): number {
    return ++this.#connections;
  }

  /** The number of a new subscription. */
  nextSubscription(): number {
    return ++this.#subscriptions;
  }

  openRoom(tenant_id: string, room_id: string): LedgerRoom {
    return this.rooms.open(tenant_id, room_id, this.#segment.number);
  }

  /**
   * Takes note of a message that is about to be sent to a room's subscribers, and returns its position;
   * `sent` is to be called afterwards. `offset` is 0 in rooms that are not durable.
   */
  message(room: LedgerRoom, envelope: Uint8Array, offset: number): number {
    const at = this.#message(KIND.message, room, envelope, offset);
    this.#message_start = at;
    this.counts.messages++;
    return this.#sending = this.#position++;
  }

  /** Ends what `message` began. */
  sent(): void {
    this.#sending = 0;
  }

  /** The message that is being sent is not sent to this connection, which has published it. */
  noEcho(connection: number): void {
    writeEcho(this.#segment.view, this.#message_start, connection);
  }

  /** Takes note of a message that is left out for all, since its id came before. */
  duplicate(room: LedgerRoom, envelope: Uint8Array, offset: number): void {
    this.#message(KIND.duplicate, room, envelope, offset);
  }

  /** Takes note of a message that its room's log has, and that came to nobody here. */
  stored(tenant_id: string, room_id: string, envelope: Uint8Array, offset: number): void {
    this.#message(KIND.stored, this.rooms.named(tenant_id, room_id), envelope, offset);
    this.#position++;
  }

  /** Takes note of messages of a room's log that a user was given because it asked for them. */
  read(tenant_id: string, room_id: string, read: PastRead): void {
    this.#facts(KIND.read, this.rooms.named(tenant_id, room_id), 0, read);
  }

  /** Takes note that a room is notified that messages are missing. */
  gap(room: LedgerRoom, reason: string): void {
    this.#facts(KIND.gap, room, 0, { reason });
  }

  /** Takes note of the end of a subscription. */
  left(room: LedgerRoom, connection: number, end: SubscriptionEnd): void {
    this.#facts(KIND.left, room, connection, end);
  }

  /** Takes note of the end of a connection. */
  ended(connection: number, end: ConnectionEnd): void {
    this.#facts(KIND.ended, undefined, connection, end);
  }

  /**
   * Takes note that a connection was not given a message. With `run`, which the call for the message of
   * that room before has returned, the two are one row.
   */
  leftOut(
    room: LedgerRoom,
    connection: number,
    position: number,
    why: LeftOutWhy,
    run?: RunningRow,
  ): RunningRow {
    if (run !== undefined && extend(run, position)) return run;
    return this.#leftOut(room, connection, position, why, 0);
  }

  /**
   * Takes note that a connection was not given a message, where it was given others between that and the
   * one before, for which the call has returned `run`.
   */
  leftOutAlone(
    room: LedgerRoom,
    connection: number,
    position: number,
    why: LeftOutWhy,
    run?: RunningRow,
  ): RunningRow {
    if (run !== undefined && addTo(run, position)) return run;
    return this.#leftOut(room, connection, position, why, nextCapacity(run));
  }

  #leftOut(
    room: LedgerRoom,
    connection: number,
    position: number,
    why: LeftOutWhy,
    capacity: number,
  ): RunningRow {
    const start = this.#row(KIND.left_out, leftOutSize(capacity), room, connection);
    const { view, place } = this.#segment;
    writeLeftOut(view, start, position, why);
    return { place, start, capacity };
  }

  /** Takes note that a subscription was not given a durable room's messages of these offsets. */
  passedOver(
    room: LedgerRoom,
    { connection, number }: Pick<SubscriptionMark, "connection" | "number">,
    { from, to, why }: Omit<PassedOver, "number">,
  ): void {
    const passed: PassedOver = { number, from, to, why };
    this.#facts(KIND.passed_over, room, connection, passed);
  }

  /** Takes note of a refusal; with `run`, of one more of the same. */
  refused(connection: number, refusal: Refusal, run?: RunningRow): RunningRow {
    const now_ms = this.#bounds.now();
    const view = run?.place.segment?.view;
    if (run !== undefined && view !== undefined) {
      const at = run.start + HEAD_BYTES;
      view.setUint32(at, view.getUint32(at, true) + 1, true);
      view.setFloat64(at + 4, now_ms, true);
      return run;
    }
    const { written } = this.#encoder.encodeInto(JSON.stringify(refusal), this.#text);
    const start = this.#row(KIND.refused, REFUSED_BYTES + written, undefined, connection);
    const segment = this.#segment;
    segment.view.setUint32(start + HEAD_BYTES, 1, true);
    segment.view.setFloat64(start + HEAD_BYTES + 4, now_ms, true);
    segment.bytes.set(this.#text.subarray(0, written), start + HEAD_BYTES + REFUSED_BYTES);
    return { place: segment.place, start, capacity: 0 };
  }

  /** Gives up what is older than the bounds allow. */
  expire(): void {
    const { now, kept_ms } = this.#bounds;
    const now_ms = now();
    const isOld = ({ start_ms }: Segment) => now_ms - start_ms >= kept_ms;
    // A segment ends where the next one begins; the last one is replaced before it goes.
    if (this.#segment.used > 0 && this.#isOver(now_ms)) this.#segment = this.#open();
    while (this.#segments.length > 1 && isOld(this.#segments[1]!)) this.#drop();
  }

  #isOver(now_ms: number): boolean {
    return now_ms - this.#segment.start_ms >= this.#bounds.kept_ms / SEGMENTS_KEPT;
  }

  #message(kind: number, room: LedgerRoom, envelope: Uint8Array, offset: number): number {
    const ids = idsOf(envelope);
    const size = messageSize(ids, offset) - HEAD_BYTES;
    const start = this.#row(kind, size, room, 0);
    const { bytes, view } = this.#segment;
    writeMessage(bytes, view, start, envelope, ids, offset);
    return start;
  }

  #facts(
    kind: number,
    room: LedgerRoom | undefined,
    connection: number,
    facts: object,
  ): void {
    const { written } = this.#encoder.encodeInto(JSON.stringify(facts), this.#text);
    const start = this.#row(kind, written, room, connection);
    this.#segment.bytes.set(this.#text.subarray(0, written), start + HEAD_BYTES);
  }

  /** Makes place for a row of so many bytes behind its head, writes the head, returns its beginning. */
  #row(kind: number, body_bytes: number, room: LedgerRoom | undefined, connection: number): number {
    const size = HEAD_BYTES + body_bytes;
    let segment = this.#segment;
    const now_ms = this.#bounds.now();
    const is_old = segment.used > 0 && this.#isOver(now_ms);
    if (segment.used + size > SEGMENT_BYTES || is_old) {
      segment = this.#segment = this.#open();
      this.expire();
    }
    const start = segment.used;
    segment.used = start + size;
    const after_ms = Math.max(0, now_ms - segment.start_ms);
    if (room !== undefined) room.last_segment = segment.number;
    writeHead(segment.view, start, kind, size, room?.number ?? 0, after_ms, connection);
    this.counts.rows++;
    return start;
  }

  #open(): Segment {
    while (this.#segments.length > 1 && this.bytes + SEGMENT_BYTES > this.#bounds.bytes_max) {
      this.#drop();
    }
    const bytes = new Uint8Array(SEGMENT_BYTES);
    const before = this.#segments.at(-1);
    const opened: Segment = {
      bytes,
      view: new DataView(bytes.buffer),
      number: (before?.number ?? 0) + 1,
      start_ms: Math.trunc(this.#bounds.now()),
      first_position: this.#position,
      used: 0,
      place: { segment: undefined },
    };
    opened.place.segment = opened;
    if (before !== undefined) before.place.segment = undefined;
    this.#segments.push(opened);
    return opened;
  }

  #drop(): void {
    const oldest = this.#segments.shift();
    if (oldest === undefined) return;
    this.#since_ms = this.#segments[0]?.start_ms ?? this.#bounds.now();
    this.rooms.forget(oldest.number);
  }
}

/** What one room takes beside its ids, in bytes, as measured; an id's characters are bytes. */
const ROOM_BYTES = 250;

/** A room with subscribers here, or with rows. */
interface LedgerRoom {
  readonly number: number;
  readonly tenant_id: string;
  readonly room_id: string;
  /** The number of the last segment that has a row of it. */
  last_segment: number;
  is_open: boolean;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}\n${room_id}`;

const sizeOf = ({ tenant_id, room_id }: LedgerRoom) =>
  ROOM_BYTES + 2 * (tenant_id.length + room_id.length);

/** The rooms of one ledger. */
class LedgerRooms {
  readonly #by_key = new Map<string, LedgerRoom>();
  readonly #by_number = new Map<number, LedgerRoom>();
  #last = 0;
  #bytes = 0;

  /** What the rooms take in memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The room from now on; `segment` is the number of the present one. */
  open(tenant_id: string, room_id: string, segment: number): LedgerRoom {
    const key = keyOf(tenant_id, room_id);
    const known = this.#by_key.get(key);
    if (known !== undefined) {
      known.is_open = true;
      return known;
    }
    const room: LedgerRoom = {
      number: ++this.#last,
      tenant_id,
      room_id,
      last_segment: segment,
      is_open: true,
    };
    this.#by_key.set(key, room);
    this.#by_number.set(room.number, room);
    this.#bytes += sizeOf(room);
    return room;
  }

  /** The room for a row about it, whether or not anybody receives it here. */
  named(tenant_id: string, room_id: string): LedgerRoom {
    const known = this.find(tenant_id, room_id);
    if (known !== undefined) return known;
    const room = this.open(tenant_id, room_id, 0);
    room.is_open = false;
    return room;
  }

  find(tenant_id: string, room_id: string): LedgerRoom | undefined {
    return this.#by_key.get(keyOf(tenant_id, room_id));
  }

  /** The room's number, as a list. */
  numbersOf(tenant_id: string, room_id: string): readonly number[] {
    const room = this.find(tenant_id, room_id);
    return room === undefined ? [] : [room.number];
  }

  of(number: number): LedgerRoom | undefined {
    return this.#by_number.get(number);
  }

  /** Forgets the rooms that only that segment and those before it were about. */
  forget(segment: number): void {
    for (const room of this.#by_number.values()) {
      if (room.is_open || room.last_segment > segment) continue;
      this.#by_number.delete(room.number);
      this.#by_key.delete(keyOf(room.tenant_id, room.room_id));
      this.#bytes -= sizeOf(room);
    }
  }
}
