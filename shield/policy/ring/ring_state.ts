/**
 * Values of keyed state in the records of the rings: requests have the holds of a chain's policies with new values,
 * replies have the written and read values. Bytes at fixed places; `state/key_holds.ts` has their meaning.
 */
import type { HoldChanges, SlotValue } from "../state/held_values.ts";
import type { ChainValues } from "../state/key_holds.ts";
import type { Records } from "./ring.ts";
import type { WorkerEntry } from "./ring_last.ts";

/** The length of an absent value, and of a value that the worker already has. */
const ABSENT = 0xffff_ffff;
const KNOWN = 0xffff_fffe;
const VALUE_HEAD_BYTES = 8;

/** A buffer for each message would cost more than its encoding. */
let room = new DataView(new ArrayBuffer(4_096));
let room_bytes = new Uint8Array(room.buffer);

function roomFor(size_bytes: number): DataView<ArrayBuffer> {
  if (room.byteLength < size_bytes) {
    room = new DataView(new ArrayBuffer(size_bytes * 2));
    room_bytes = new Uint8Array(room.buffer);
  }
  return room;
}

/** The bytes of a request's state, until the next call of this or of `encodeReplyState`. */
export function encodeRequestState({ values, ended }: ChainValues): Uint8Array<ArrayBuffer> {
  let size_bytes = 8 + ended.length * 4 + values.length * VALUE_HEAD_BYTES;
  for (const { value } of values) size_bytes += value?.length ?? 0;
  const view = roomFor(size_bytes);
  view.setUint32(0, ended.length, true);
  view.setUint32(4, values.length, true);
  let at = 8;
  for (const hold of ended) {
    view.setUint32(at, hold, true);
    at += 4;
  }
  for (const { hold, value } of values) {
    const length = value === undefined ? KNOWN : value === null ? ABSENT : value.length;
    view.setUint32(at, hold, true);
    view.setUint32(at + 4, length, true);
    at += VALUE_HEAD_BYTES;
    if (value instanceof Uint8Array) room_bytes.set(value, at);
    at += value?.length ?? 0;
  }
  return room_bytes.subarray(0, size_bytes);
}

/** The state in a request: the holds of its slots in order, and the new values. */
export interface ReadRequestState {
  readonly holds: readonly number[];
  readonly hold_changes: HoldChanges;
}

/**
 * Reads the state of `encodeRequestState`. Its values are views of the records. Throws RangeError if it does not end at
 * `end`.
 */
export function decodeRequestState(
  { view, bytes, start, end }: Pick<Records, "view" | "bytes" | "start" | "end">,
): ReadRequestState {
  const ended_count = view.getUint32(start, true);
  const count = view.getUint32(start + 4, true);
  let at = start + 8;
  const ended: number[] = [];
  for (let left = ended_count; left > 0; left--, at += 4) ended.push(view.getUint32(at, true));
  const holds: number[] = [];
  const given: [number, Uint8Array | null][] = [];
  for (let left = count; left > 0; left--) {
    const hold = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    at += VALUE_HEAD_BYTES;
    holds.push(hold);
    if (length === KNOWN) continue;
    const value = length === ABSENT ? null : bytes.subarray(at, at + length);
    given.push([hold, value]);
    at += value?.length ?? 0;
  }
  if (at !== end) throw new RangeError(`the state of a request has ${end - start} bytes`);
  return { holds, hold_changes: { given, ended } };
}

/** The chain with the holds of its slots; `count` has their number for each policy. */
export function withHolds<T extends WorkerEntry>(
  chain: readonly T[],
  count: (entry: T, place: number) => number,
  { holds }: ReadRequestState,
): WorkerEntry[] {
  let at = 0;
  return chain.map((entry, place) => {
    const slots = count(entry, place);
    if (slots === 0) return entry;
    at += slots;
    return { ...entry, holds: holds.slice(at - slots, at) };
  });
}

const REPLY_VALUE_BYTES = 8;

function putValues(view: DataView, at: number, values: readonly SlotValue[]): number {
  for (const { place, slot, value } of values) {
    view.setUint32(at, place | slot << 8, true);
    view.setUint32(at + 4, value === null ? ABSENT : value.length, true);
    at += REPLY_VALUE_BYTES;
    if (value === null) continue;
    room_bytes.set(value, at);
    at += value.length;
  }
  return at;
}

interface ReplyState {
  /** The writes of the chain's policies, in order. */
  readonly written: readonly SlotValue[];
  /** Their reads, if the request asked for them. */
  readonly read: readonly SlotValue[];
}

/** The bytes of a reply's state, beginning with their number, until the next call. */
export function encodeReplyState({ written, read }: ReplyState): Uint8Array<ArrayBuffer> {
  let size_bytes = 12;
  for (const values of [written, read]) {
    for (const { value } of values) size_bytes += REPLY_VALUE_BYTES + (value?.length ?? 0);
  }
  const view = roomFor(size_bytes);
  view.setUint32(0, size_bytes, true);
  view.setUint32(4, written.length, true);
  view.setUint32(8, read.length, true);
  putValues(view, putValues(view, 12, written), read);
  return room_bytes.subarray(0, size_bytes);
}

/** Reads the state of `encodeReplyState` at `start`. Its values are views of the records. */
export function decodeReplyState(
  { view, bytes, start, end }: Pick<Records, "view" | "bytes" | "start" | "end">,
): ReplyState & { readonly end: number } {
  const size_bytes = view.getUint32(start, true);
  if (size_bytes > end - start) {
    throw new RangeError(`the state of a reply has ${size_bytes} bytes`);
  }
  let at = start + 12;
  const take = (count: number): SlotValue[] => {
    const values: SlotValue[] = [];
    for (let left = count; left > 0; left--) {
      const place = view.getUint8(at);
      const slot = view.getUint8(at + 1);
      const length = view.getUint32(at + 4, true);
      at += REPLY_VALUE_BYTES;
      const value = length === ABSENT ? null : bytes.subarray(at, at + length);
      at += value?.length ?? 0;
      values.push({ place, slot, value });
    }
    return values;
  };
  const written = take(view.getUint32(start + 4, true));
  const read = take(view.getUint32(start + 8, true));
  return { written, read, end: start + size_bytes };
}
