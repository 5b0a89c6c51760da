/**
 * The command `history.get` in its Protobuf form: request and answer. The JSON form, which the Shield writes, has the
 * same names. Envelopes stay bytes.
 */
import { msgFrame } from "./frame.ts";
import { readShape, readStrict, type Shape, shapeOf, writeShape } from "../wire/fields.ts";
import { Opcode } from "./opcode.ts";
import { type FrameSpace, OwnBuffers } from "./stamp.ts";
import type { Uint64 } from "../wire/wire.ts";
import { putVarint, varintSize, WireWriter } from "../wire/wire_writer.ts";

/** The range of messages of a durable room; offsets, 0 for no bound. */
export interface HistoryQuery {
  /** Only messages above this offset. */
  after: Uint64;
  /** Only messages below this offset. */
  before: Uint64;
  /** The maximum number; 0: the bus's default. */
  limit: number;
  /** True: newest first. */
  reverse: boolean;
  /** Only messages that match this CEL expression; "": all. */
  filter: string;
}

/** Messages of a durable room, and the room's position. */
export interface History {
  /** Envelopes with their offsets. */
  messages: Uint8Array[];
  /** The room's current position. */
  offset: Uint64;
  epoch: string;
  /** Whether there are more in this direction. */
  more: boolean;
}

const QUERY: Shape = /* @__PURE__ */ shapeOf<HistoryQuery>("HistoryQuery", {
  after: "uint64",
  before: "uint64",
  limit: "uint32",
  reverse: "bool",
  filter: "text",
});
const HISTORY: Shape = /* @__PURE__ */ shapeOf<History>("History", {
  messages: (reader) => reader.view(),
  offset: "uint64",
  epoch: "text",
  more: "bool",
});
/** `offset` of an Envelope: number 9, a varint. */
const TAG_OFFSET = 0x48;

/** Throws `DecodeError`, also for an unknown field, as in every frame of a client. */
export const readHistoryQuery = (bytes: Uint8Array): HistoryQuery => readStrict(bytes, QUERY);

/** Throws TypeError for a number out of its field's range. */
export const writeHistoryQuery = (query: Partial<HistoryQuery>): Uint8Array<ArrayBuffer> =>
  writeShape(QUERY, query);

/** Throws `DecodeError`. The messages are views into `bytes`. */
export function readHistory(bytes: Uint8Array): History {
  return readShape<History>(bytes, HISTORY, { messages: [] });
}

/** Throws TypeError for a number out of its field's range. */
export function writeHistory(history: History): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  for (const message of history.messages) writer.bytes(1, message);
  writer.uint64(2, history.offset);
  writer.text(3, history.epoch);
  writer.bool(4, history.more);
  return writer.finish();
}

/**
 * Converts a stored envelope, which has no offset, to a whole MSG frame with its offset, by adding the field at the
 * end. `offset` is an integer from 0 to 2^53-1; 0 adds nothing. With `space` the frame is written there.
 */
export function encodeMsgAt(
  envelope: Uint8Array,
  offset: number,
  space?: FrameSpace,
): Uint8Array<ArrayBuffer> {
  // No copy if it already is a frame.
  if (offset === 0 && space === undefined) return msgFrame(envelope);
  const place = space ?? new OwnBuffers();
  const end = 1 + envelope.length;
  const size_bytes = offset === 0 ? end : end + 1 + varintSize(offset, "offset");
  const at = place.reserve(size_bytes);
  const { bytes } = place;
  bytes[at] = Opcode.MSG;
  bytes.set(envelope, at + 1);
  if (offset > 0) {
    bytes[at + end] = TAG_OFFSET;
    putVarint(bytes, at + end + 1, offset);
  }
  // A whole array needs no view.
  return size_bytes === bytes.length ? bytes : bytes.subarray(at, at + size_bytes);
}
