/**
 * The rows of messages that a connection did not receive. They grow in place: all messages of the room from the first
 * to the last, or a list.
 */
import { HEAD_BYTES } from "./row_form.ts";
import { LEFT_OUT_WHYS, type LeftOutWhy } from "./row_facts.ts";

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
