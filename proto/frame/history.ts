/**
 * The command `history.get` in its Protobuf form: what it asks for and what comes back. The JSON form
 * has the same names; the Shield writes it. Envelopes stay bytes here.
 */
import { msgFrame } from "./frame.ts";
import {
  type FieldNames,
  readShape,
  refuseField,
  seenOnce,
  type Shape,
  shapeOf,
} from "../wire/fields.ts";
import { Opcode } from "./opcode.ts";
import { type FrameSpace, OwnBuffers } from "./stamp.ts";
import { type Uint64, WireReader } from "../wire/wire.ts";
import { putVarint, varintSize, WireWriter } from "../wire/wire_writer.ts";

/** Which messages of a durable room; offsets, 0 for no bound. */
export interface HistoryQuery {
  /** Those above this offset. */
  after: Uint64;
  /** Those below this offset. */
  before: Uint64;
  /** How many at most; 0 is the bus's default. */
  limit: number;
  /** The newest first. */
  reverse: boolean;
  /** Only messages for which this is true, in CEL; "": all of them. */
  filter: string;
}

/** Messages of a durable room, and where it stands. */
export interface History {
  /** Envelopes with their offsets. */
  messages: Uint8Array[];
  /** The room's current position. */
  offset: Uint64;
  epoch: string;
  /** There are more in this direction. */
  more: boolean;
}

const QUERY: FieldNames = ["HistoryQuery", "after", "before", "limit", "reverse", "filter"];
const HISTORY: Shape = /* @__PURE__ */ shapeOf<History>("History", {
  messages: (reader) => reader.view(),
  offset: "uint64",
  epoch: "text",
  more: "bool",
});
/** `offset` of an Envelope: number 9, a varint. */
const TAG_OFFSET = 0x48;

/** Throws `DecodeError`; also for an unknown field, as with all that a client says. */
export function readHistoryQuery(bytes: Uint8Array): HistoryQuery {
  const reader = new WireReader(bytes);
  const query: HistoryQuery = { after: 0, before: 0, limit: 0, reverse: false, filter: "" };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, QUERY);
    if (tag === 0x08) query.after = reader.uint64();
    else if (tag === 0x10) query.before = reader.uint64();
    else if (tag === 0x18) query.limit = reader.uint32();
    else if (tag === 0x20) query.reverse = reader.bool();
    else if (tag === 0x2a) query.filter = reader.text();
    else refuseField(tag, QUERY);
  }
  return query;
}

/** Throws TypeError for a number that its field cannot hold. */
export function writeHistoryQuery(query: Partial<HistoryQuery>): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  writer.uint64(1, query.after);
  writer.uint64(2, query.before);
  writer.uint32(3, query.limit);
  writer.bool(4, query.reverse);
  writer.text(5, query.filter);
  return writer.finish();
}

/** Throws `DecodeError`. The messages are views into `bytes`. */
export function readHistory(bytes: Uint8Array): History {
  return readShape<History>(new WireReader(bytes), HISTORY, { messages: [] });
}

/** Throws TypeError for a number that its field cannot hold. */
export function writeHistory(history: History): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  for (const message of history.messages) writer.bytes(1, message);
  writer.uint64(2, history.offset);
  writer.text(3, history.epoch);
  writer.bool(4, history.more);
  return writer.finish();
}

/**
 * A stored envelope, which has no offset, as a whole MSG frame with it: the field is added at the end,
 * nothing is encoded again. `offset` is an integer from 0 to 2^53-1; 0 adds nothing. With `space` the
 * frame lies there.
 */
export function encodeMsgAt(
  envelope: Uint8Array,
  offset: number,
  space?: FrameSpace,
): Uint8Array<ArrayBuffer> {
  // Without a copy, where it lies as a frame already.
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
  // Who alone has the whole array needs no view of it.
  return size_bytes === bytes.length ? bytes : bytes.subarray(at, at + size_bytes);
}
