/**
 * The layout of the ledger's rows in memory: a head with the subject of a row, so that readers can skip rows, and a
 * body. `ledger.ts` writes rows.
 */

/** The kinds of rows. Rooms and connections have numbers of this process. */
export const KIND = {
  /** A message was sent to the room's subscribers. */
  message: 1,
  duplicate: 2,
  /** The room was notified that messages are missing. */
  gap: 3,
  left: 4,
  ended: 5,
  /** Messages of one room that one connection did not receive, from a position to a position. */
  left_out: 6,
  /** Messages of one room that one connection skipped, from an offset to an offset. */
  passed_over: 7,
  /** A handshake, a frame or an operation was refused, once or often. */
  refused: 8,
  /** A message was stored in its room's log, and had no receiver here. */
  stored: 13,
  /** A part of a room's log was sent to a reader. */
  read: 14,
  /** The kinds from here on are only in stored blocks. The rows after this one have another time and position. */
  place: 9,
  opened: 10,
  joined: 11,
  /** Messages from a position on are queued in the Shield for one connection. */
  waiting: 12,
} as const;

/**
 * Whether a row has a position: message rows are numbered, so that the ends of a subscription are before or after each
 * message.
 */
export const isNumbered = (kind: number): boolean => kind === KIND.message || kind === KIND.stored;

/** Bytes of the head: kind, flags, size, room, time, connection. */
export const HEAD_BYTES = 16;
/** The largest row. */
export const ROW_BYTES_MAX = 8_192;
const ID_BYTES = 16;
const OFFSET_BYTES = 8;
/** The longest message id that is kept whole; of a longer one the beginning is kept. */
const MESSAGE_ID_BYTES = 255;

const HAS_TRACE = 1;
const HAS_TWIST = 2;
const HAS_ID = 4;
const HAS_OFFSET = 8;

/** The head of a row. */
export interface RowHead {
  kind: number;
  flags: number;
  /** The row's first byte, and the one after its last. */
  start: number;
  end: number;
  /** The room's number; 0: no room. */
  room: number;
  /** In ms since the segment's beginning. */
  after_ms: number;
  /** The connection's number; 0: none. In a message's row: the connection without echo. */
  connection: number;
}

/** Reads the head of the row that begins at `start`. */
export function readHead(view: DataView, start: number, head: RowHead): void {
  head.kind = view.getUint8(start);
  head.flags = view.getUint8(start + 1);
  head.start = start;
  head.end = start + view.getUint16(start + 2, true);
  head.room = view.getUint32(start + 4, true);
  head.after_ms = view.getUint32(start + 8, true);
  head.connection = view.getUint32(start + 12, true);
}

/** Writes a head; `size` is that of the whole row. */
export function writeHead(
  view: DataView,
  start: number,
  kind: number,
  size: number,
  room: number,
  after_ms: number,
  connection: number,
): void {
  view.setUint8(start, kind);
  view.setUint8(start + 1, 0);
  view.setUint16(start + 2, size, true);
  view.setUint32(start + 4, room, true);
  view.setUint32(start + 8, after_ms, true);
  view.setUint32(start + 12, connection, true);
}

/** Records the connection without echo of the message whose row begins at `start`. */
export function writeEcho(view: DataView, start: number, connection: number): void {
  view.setUint32(start + 12, connection, true);
}

/** Bytes of a row of `KIND.place`. */
export const PLACE_BYTES = HEAD_BYTES + 16;

/** The start of the rows after it: the next message's position, and the time, Unix ms. */
export interface RowPlace {
  readonly start_ms: number;
  readonly position: number;
}

/** Writes a row of `KIND.place`. */
export function writePlace(view: DataView, start: number, { start_ms, position }: RowPlace): void {
  writeHead(view, start, KIND.place, PLACE_BYTES, 0, 0, 0);
  view.setFloat64(start + HEAD_BYTES, start_ms, true);
  view.setFloat64(start + HEAD_BYTES + 8, position, true);
}

/** Reads a row of `KIND.place`. */
export const readPlace = (view: DataView, start: number): RowPlace => ({
  start_ms: view.getFloat64(start + HEAD_BYTES, true),
  position: view.getFloat64(start + HEAD_BYTES + 8, true),
});

const DASH = 0x2d;

/** Writes 32 hex digits as 16 bytes; dashes between them are skipped. */
function packHex(from: Uint8Array, start: number, to: Uint8Array, at: number): void {
  for (const end = at + ID_BYTES; at < end; start += 4) {
    // Dashes are between groups of four digits.
    if (from[start] === DASH) start++;
    const four = from[start]! | from[start + 1]! << 8 | from[start + 2]! << 16 |
      from[start + 3]! << 24;
    // Letters have bit 6, and their lower bits count from 1.
    const values = (four & 0x0f0f0f0f) + 9 * (four >>> 6 & 0x01010101);
    to[at++] = values << 4 | values >>> 8;
    to[at++] = values >>> 12 | values >>> 24;
  }
}

function unpackHex(from: Uint8Array, at: number): string {
  let text = "";
  for (let index = 0; index < ID_BYTES; index++) {
    text += from[at + index]!.toString(16).padStart(2, "0");
  }
  return text;
}

const asUuid = (hex: string) =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${
    hex.slice(20)
  }`;

/** The positions of a message's ids in its envelope; -1: it has none. */
interface Places {
  readonly trace: number;
  readonly twist: number;
  readonly id: number;
  readonly id_end: number;
}

/** Bytes of the row of a message. */
export function messageSize(ids: Places, offset: number): number {
  return HEAD_BYTES + (ids.trace < 0 ? 0 : ID_BYTES) + (ids.twist < 0 ? 0 : ID_BYTES) +
    (offset > 0 ? OFFSET_BYTES : 0) +
    (ids.id < 0 ? 0 : Math.min(MESSAGE_ID_BYTES, ids.id_end - ids.id));
}

/** Writes the body of a message's row. */
export function writeMessage(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  envelope: Uint8Array,
  ids: Places,
  offset: number,
): void {
  let at = start + HEAD_BYTES;
  let flags = 0;
  if (offset > 0) {
    flags |= HAS_OFFSET;
    view.setFloat64(at, offset, true);
    at += OFFSET_BYTES;
  }
  if (ids.trace >= 0) {
    flags |= HAS_TRACE;
    packHex(envelope, ids.trace, bytes, at);
    at += ID_BYTES;
  }
  if (ids.twist >= 0) {
    flags |= HAS_TWIST;
    packHex(envelope, ids.twist, bytes, at);
    at += ID_BYTES;
  }
  if (ids.id >= 0) {
    flags |= HAS_ID;
    const end = Math.min(ids.id_end, ids.id + MESSAGE_ID_BYTES);
    for (let from = ids.id; from < end; from++) bytes[at++] = envelope[from]!;
  }
  bytes[start + 1] = flags;
}

/** The body of a message's row. */
export interface MessageFacts {
  /** 0: none. */
  readonly offset: number;
  /** "" for none, here and below. */
  readonly trace_id: string;
  readonly twist_id: string;
  readonly message_id: string;
}

// A byte order mark is part of an id.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads the body of a message's row. */
export function readMessage(bytes: Uint8Array, view: DataView, head: RowHead): MessageFacts {
  const { flags, start, end } = head;
  let at = start + HEAD_BYTES;
  const offset = (flags & HAS_OFFSET) === 0 ? 0 : view.getFloat64(at, true);
  if (offset !== 0) at += OFFSET_BYTES;
  const trace_id = (flags & HAS_TRACE) === 0 ? "" : unpackHex(bytes, at);
  if (trace_id !== "") at += ID_BYTES;
  const twist_id = (flags & HAS_TWIST) === 0 ? "" : asUuid(unpackHex(bytes, at));
  if (twist_id !== "") at += ID_BYTES;
  const message_id = (flags & HAS_ID) === 0 ? "" : decoder.decode(bytes.subarray(at, end));
  return { offset, trace_id, twist_id, message_id };
}

/** The requested ids; absent ones match anything. */
export interface WantedIds {
  readonly trace?: Uint8Array | undefined;
  readonly twist?: Uint8Array | undefined;
  readonly id?: Uint8Array | undefined;
  readonly offset?: number | undefined;
}

/** An id of 32 hex digits, or a UUID, in the form of rows; undefined for any other text. */
export function packedId(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F-]+$/.test(text) || text.replaceAll("-", "").length !== 2 * ID_BYTES) {
    return undefined;
  }
  const packed = new Uint8Array(ID_BYTES);
  packHex(new TextEncoder().encode(text.replaceAll("-", "")), 0, packed, 0);
  return packed;
}

/** A message id in the form of rows. */
export const packedMessageId = (text: string): Uint8Array =>
  new TextEncoder().encode(text).subarray(0, MESSAGE_ID_BYTES);

function isAt(bytes: Uint8Array, at: number, end: number, wanted: Uint8Array): boolean {
  if (end - at !== wanted.length) return false;
  for (let index = 0; index < wanted.length; index++) {
    if (bytes[at + index] !== wanted[index]) return false;
  }
  return true;
}

/** Whether the row of a message matches. It allocates nothing. */
export function isWanted(
  bytes: Uint8Array,
  view: DataView,
  { flags, start, end }: RowHead,
  wanted: WantedIds,
): boolean {
  let at = start + HEAD_BYTES;
  const offset = (flags & HAS_OFFSET) === 0 ? 0 : view.getFloat64(at, true);
  if (wanted.offset !== undefined && wanted.offset !== offset) return false;
  if (offset !== 0) at += OFFSET_BYTES;
  const trace_end = (flags & HAS_TRACE) === 0 ? at : at + ID_BYTES;
  if (wanted.trace !== undefined && !isAt(bytes, at, trace_end, wanted.trace)) return false;
  const twist_end = (flags & HAS_TWIST) === 0 ? trace_end : trace_end + ID_BYTES;
  if (wanted.twist !== undefined && !isAt(bytes, trace_end, twist_end, wanted.twist)) return false;
  return wanted.id === undefined || isAt(bytes, twist_end, end, wanted.id);
}

/** Reasons why a connection did not receive a message of a subscribed room. */
const LEFT_OUT_WHYS = [
  "slow_reader",
  "conflated",
  "echo",
  "queued",
  "filter",
  "lost",
] as const;
/** One of `LEFT_OUT_WHYS`. */
export type LeftOutWhy = typeof LEFT_OUT_WHYS[number];

/**
 * Stored messages of a durable room sent to a subscription, after the offset `after`: from `first` to `last`, 0: none;
 * `live` is the position at which it became live, 0: it has not caught up.
 */
export interface CaughtUp {
  readonly after: number;
  readonly first: number;
  readonly last: number;
  readonly live: number;
}

/** An existing connection, in stored form. */
export interface ConnectionBegin {
  readonly connection_id: string;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  /** Unix ms. */
  readonly began_ms: number;
  readonly batch: boolean;
}

/** An existing subscription, in stored form. */
export interface SubscriptionBegin {
  readonly number: number;
  readonly since: number;
  readonly since_ms: number;
  readonly caught_up?: CaughtUp | undefined;
  /** The numbers of its filters; absent: it has none. */
  readonly filters?: readonly number[] | undefined;
}

/** An ended subscription; the row's position is that of its end. */
export interface SubscriptionEnd extends SubscriptionBegin {
  /** Why it ended: `unsubscribed`, `resubscribed`, `kicked`, `closed`, or the reason of a refusal. */
  readonly why: string;
  /** Whether messages of one turn could share a frame. */
  readonly batch: boolean;
}

/** Offsets of a durable room's messages that a subscription skipped. */
export interface PassedOver {
  readonly number: number;
  readonly from: number;
  readonly to: number;
  readonly why: LeftOutWhy;
}

/** Messages of a room's log sent to a reader. */
export interface PastRead {
  readonly user_id: string;
  /** The reading connection; "": over HTTP. */
  readonly connection_id: string;
  readonly how: "history" | "stream";
  /** Offsets: all messages of the room from the first to the last, or those of the list. */
  readonly from: number;
  readonly to: number;
  readonly listed?: readonly number[] | undefined;
}

/** A connection that has ended. */
export interface ConnectionEnd extends Omit<ConnectionBegin, "batch"> {
  readonly code: number;
  /** The reason that the client received, or ""; it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that the socket had not passed to the kernel. */
  readonly unsent_bytes: number;
  /** The position of the first message that was still queued; 0: none. */
  readonly queued_from: number;
}

/** A refused handshake, frame or operation. */
export interface Refusal {
  readonly stage: "handshake" | "operation";
  readonly tenant_id: string;
  readonly user_id: string;
  readonly connection_id: string;
  readonly remote_ip: string;
  readonly room_id: string;
  readonly reason: string;
  readonly detail: string;
}

/** The longest text of a fact, in UTF-16 units. */
const TEXT_UNITS = 300;

/** A text that fits into a row. */
export const clipped = (text: string): string =>
  text.length <= TEXT_UNITS ? text : text.slice(0, TEXT_UNITS);

/** After the head: from, to, count, why, then the list, each message by its distance from the first. */
const FROM_AT = HEAD_BYTES;
const TO_AT = FROM_AT + 8;
const COUNT_AT = TO_AT + 8;
const WHY_AT = COUNT_AT + 4;
const LIST_AT = WHY_AT + 1;
const LISTED_BYTES = 2;
const DISTANCE_MAX = 0xffff;
/** The capacity of the first list, and of the largest. */
const LISTED_MIN = 8;
const LISTED_MAX = 128;

/**
 * A reference to a segment while it is the newest: undefined later. So no new facts are added to an old segment, which
 * is dropped earlier, and a reference does not keep a dropped segment alive.
 */
export interface SegmentPlace {
  segment: { readonly view: DataView } | undefined;
}

/** A row that grows in place while the same fact repeats. */
export interface RunningRow {
  readonly place: SegmentPlace;
  readonly start: number;
  /** The number of messages that the row can list; 0: it has no list. */
  readonly capacity: number;
}

/** Dropped messages in a row. */
interface LeftOutRow {
  readonly from: number;
  readonly to: number;
  readonly why: LeftOutWhy;
  /** The messages individually; undefined: all of the room from the first to the last. */
  readonly listed: readonly number[] | undefined;
}

/** Bytes after the head of a row with a list of that capacity. */
export const leftOutSize = (capacity: number): number =>
  LIST_AT - HEAD_BYTES + LISTED_BYTES * capacity;

/** The capacity of the list after this one. */
export function nextCapacity(run: RunningRow | undefined): number {
  if (run?.place.segment === undefined) return LISTED_MIN;
  return Math.min(LISTED_MAX, 4 * Math.max(LISTED_MIN, run.capacity));
}

/** Writes a row with one message. Its distance from itself is 0, which the bytes are already. */
export function writeLeftOut(
  view: DataView,
  start: number,
  position: number,
  why: LeftOutWhy,
): void {
  view.setFloat64(start + FROM_AT, position, true);
  view.setFloat64(start + TO_AT, position, true);
  view.setUint32(start + COUNT_AT, 1, true);
  view.setUint8(start + WHY_AT, LEFT_OUT_WHYS.indexOf(why));
}

/** Extends the row to that message; false if it cannot. */
export function extend({ place, start, capacity }: RunningRow, position: number): boolean {
  if (place.segment === undefined || capacity > 0) return false;
  const { view } = place.segment;
  view.setFloat64(start + TO_AT, position, true);
  view.setUint32(start + COUNT_AT, view.getUint32(start + COUNT_AT, true) + 1, true);
  return true;
}

/** Adds a message to the row's list; false if it is full. */
export function addTo({ place, start, capacity }: RunningRow, position: number): boolean {
  if (place.segment === undefined) return false;
  const { view } = place.segment;
  const count = view.getUint32(start + COUNT_AT, true);
  const distance = position - view.getFloat64(start + FROM_AT, true);
  if (count >= capacity || distance < 0 || distance > DISTANCE_MAX) return false;
  view.setUint16(start + LIST_AT + LISTED_BYTES * count, distance, true);
  view.setUint32(start + COUNT_AT, count + 1, true);
  return true;
}

/** Reads a row from its beginning to its end. */
export function readLeftOut(view: DataView, start: number, end: number): LeftOutRow {
  const from = view.getFloat64(start + FROM_AT, true);
  const to = view.getFloat64(start + TO_AT, true);
  const why = LEFT_OUT_WHYS[view.getUint8(start + WHY_AT)] ?? "slow_reader";
  if (end === start + LIST_AT) return { from, to, why, listed: undefined };
  const count = view.getUint32(start + COUNT_AT, true);
  const listed = Array.from(
    { length: count },
    (_, at) => from + view.getUint16(start + LIST_AT + LISTED_BYTES * at, true),
  );
  return { from, to, why, listed };
}
