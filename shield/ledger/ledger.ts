/**
 * The ledger of one Shield: the messages of its rooms and the connections that did not receive them, as rows in memory,
 * limited in bytes and time. A message is one row for any number of receivers; a subscription and a connection are one
 * row at their end. Pure: the time is an argument. `scan.ts` reads.
 */
import {
  addTo,
  extend,
  HEAD_BYTES,
  KIND,
  leftOutSize,
  messageSize,
  nextCapacity,
  ROW_BYTES_MAX,
  writeEcho,
  writeHead,
  writeLeftOut,
  writeMessage,
} from "./row_form.ts";
import type {
  ConnectionEnd,
  LeftOutWhy,
  PassedOver,
  PastRead,
  Refusal,
  RunningRow,
  SegmentPlace,
  SubscriptionEnd,
} from "./row_form.ts";
import { idsOf } from "../message/message_ids.ts";
import type { LivingConnection, SubscriptionMark } from "../fanout/delivery_notes.ts";

/** Bytes of one segment: dropped at once when the ledger is full. */
const SEGMENT_BYTES = 262_144;
/** A segment takes rows for this fraction of their retention. */
const SEGMENTS_KEPT = 8;
/** Bytes after the head of a row of refusals, before its text: count, last time. */
export const REFUSED_BYTES = 4 + 8;

/** The limits of a ledger. */
export interface LedgerBounds {
  readonly bytes_max: number;
  /** The retention of rows, in ms. */
  readonly kept_ms: number;
  /** Unix ms of a clock that never jumps, which gives the age of rows. */
  readonly now: () => number;
}

/** A sequence of rows, in the order of the events. */
export interface Segment {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** The number of the segment since the start. */
  readonly number: number;
  /** When it began, Unix ms. */
  readonly start_ms: number;
  readonly first_position: number;
  used: number;
  /** The reference of rows that are extended in place. */
  place: SegmentPlace;
}

/** Running totals since the start of the process. */
interface LedgerCounts {
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
  /** The position of the message that is being sent; 0: none. */
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

  /** The position of the message that is being sent, otherwise of the next one. */
  get current(): number {
    return this.#sending === 0 ? this.#position : this.#sending;
  }

  /** The time of a row written now, Unix ms. */
  get now_ms(): number {
    return this.#bounds.now();
  }

  /** The time from which the ledger is complete, Unix ms. */
  get since_ms(): number {
    return this.#since_ms;
  }

  get bytes(): number {
    return this.#segments.length * SEGMENT_BYTES + this.rooms.bytes;
  }

  /** The segments, oldest first; later rows do not change the list, except that its last segment grows. */
  get segments(): readonly Segment[] {
    return [...this.#segments];
  }

  /** Connections with a new subscription, for the store; undefined: nothing is stored. */
  joined: { add(connection: LivingConnection): unknown } | undefined;

  /** Ends the extension in place of all existing rows. */
  seal(): void {
    this.#segment.place.segment = undefined;
    this.#segment.place = { segment: this.#segment };
  }

  nextConnection(): number {
    return ++this.#connections;
  }

  nextSubscription(): number {
    return ++this.#subscriptions;
  }

  openRoom(tenant_id: string, room_id: string): LedgerRoom {
    return this.rooms.open(tenant_id, room_id, this.#segment.number);
  }

  /**
   * Records a message that is about to be sent to a room's subscribers, and returns its position; call `sent`
   * afterwards. `offset` is 0 in rooms that are not durable.
   */
  message(room: LedgerRoom, envelope: Uint8Array, offset: number): number {
    const at = this.#message(KIND.message, room, envelope, offset);
    this.#message_start = at;
    this.counts.messages++;
    return this.#sending = this.#position++;
  }

  /** Ends the sending that `message` started. */
  sent(): void {
    this.#sending = 0;
  }

  /** Records that the message being sent is not sent to this connection, which published it. */
  noEcho(connection: number): void {
    writeEcho(this.#segment.view, this.#message_start, connection);
  }

  duplicate(room: LedgerRoom, envelope: Uint8Array, offset: number): void {
    this.#message(KIND.duplicate, room, envelope, offset);
  }

  /** Records a message in its room's log that had no receiver here. */
  stored(tenant_id: string, room_id: string, envelope: Uint8Array, offset: number): void {
    this.#message(KIND.stored, this.rooms.named(tenant_id, room_id), envelope, offset);
    this.#position++;
  }

  /** Records messages of a room's log sent to a reader. */
  read(tenant_id: string, room_id: string, read: PastRead): void {
    this.#facts(KIND.read, this.rooms.named(tenant_id, room_id), 0, read);
  }

  gap(room: LedgerRoom, reason: string): void {
    this.#facts(KIND.gap, room, 0, { reason });
  }

  left(room: LedgerRoom, connection: number, end: SubscriptionEnd): void {
    this.#facts(KIND.left, room, connection, end);
  }

  ended(connection: number, end: ConnectionEnd): void {
    this.#facts(KIND.ended, undefined, connection, end);
  }

  /**
   * Records a message not delivered to a connection. With `run`, the result of the previous call for the room, both
   * share a row.
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
   * Records a message not delivered to a connection that got others since the previous one, whose call returned `run`.
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

  /** Records offsets of a durable room's messages that a subscription skipped. */
  passedOver(
    room: LedgerRoom,
    { connection, number }: Pick<SubscriptionMark, "connection" | "number">,
    { from, to, why }: Omit<PassedOver, "number">,
  ): void {
    const passed: PassedOver = { number, from, to, why };
    this.#facts(KIND.passed_over, room, connection, passed);
  }

  /** Records a refusal; with `run`, a repetition of it. */
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

  expire(): void {
    const { now, kept_ms } = this.#bounds;
    const now_ms = now();
    const isOld = ({ start_ms }: Segment) => now_ms - start_ms >= kept_ms;
    // A segment ends where the next one begins, so the last one is replaced before it is dropped.
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

  #facts(kind: number, room: LedgerRoom | undefined, connection: number, facts: object): void {
    const { written } = this.#encoder.encodeInto(JSON.stringify(facts), this.#text);
    const start = this.#row(kind, written, room, connection);
    this.#segment.bytes.set(this.#text.subarray(0, written), start + HEAD_BYTES);
  }

  /** Reserves a row with that many bytes after its head, writes the head, and returns its start. */
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

/** Measured bytes of one room in addition to its ids; an id's characters are bytes. */
const ROOM_BYTES = 250;

/** A room with subscribers here, or with rows. */
interface LedgerRoom {
  number: number;
  readonly tenant_id: string;
  readonly room_id: string;
  last_segment: number;
  is_open: boolean;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}\n${room_id}`;

const sizeOf = ({ tenant_id, room_id }: LedgerRoom) =>
  ROOM_BYTES + 2 * (tenant_id.length + room_id.length);

class LedgerRooms {
  readonly #by_key = new Map<string, LedgerRoom>();
  readonly #by_number = new Map<number, LedgerRoom>();
  #last = 0;
  #bytes = 0;

  /** Approximate bytes of the rooms in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Opens the room; `segment` is the number of the current segment. */
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

  /** The room for a row, with or without receivers here. */
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

  numbersOf(tenant_id: string, room_id: string): readonly number[] {
    const room = this.find(tenant_id, room_id);
    return room === undefined ? [] : [room.number];
  }

  of(number: number): LedgerRoom | undefined {
    return this.#by_number.get(number);
  }

  /** Gives the tenant's rooms other numbers: their rows so far belong to no room. */
  renumber(tenant_id: string): void {
    for (const room of [...this.#by_number.values()]) {
      if (room.tenant_id !== tenant_id) continue;
      this.#by_number.delete(room.number);
      room.number = ++this.#last;
      this.#by_number.set(room.number, room);
    }
  }

  /** Drops the rooms whose rows are only in that segment and earlier ones. */
  forget(segment: number): void {
    for (const room of this.#by_number.values()) {
      if (room.is_open || room.last_segment > segment) continue;
      this.#by_number.delete(room.number);
      this.#by_key.delete(keyOf(room.tenant_id, room.room_id));
      this.#bytes -= sizeOf(room);
    }
  }
}
