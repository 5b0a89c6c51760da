/**
 * Finds the ids of a stamped envelope in one walk over its tags, without decoding: trace, `X-Twist-ID`, sender and
 * message id. Not a scanner: malformed bytes yield the ids found so far.
 */

/** Tags of length-delimited fields: number times 8 plus 2. */
const TRACE_ID = 1 * 8 + 2;
const HEADER = 5 * 8 + 2;
const SENDER_ID = 8 * 8 + 2;
const MESSAGE_ID = 11 * 8 + 2;
const TRACE_TEXT = 32;
const UUID_TEXT = 36;
const TWIST_NAME = new TextEncoder().encode("x-twist-id");
/** Bytes of the header as the stamper writes it: two tags, two lengths, name and UUID. */
const TWIST_ENTRY = 4 + TWIST_NAME.length + UUID_TEXT;

/** The positions of an envelope's ids; -1: none. One object serves all messages. */
interface MessageIds {
  trace: number;
  twist: number;
  sender: number;
  sender_end: number;
  id: number;
  id_end: number;
  /** Whether the walk reached the end of the bytes. */
  is_whole: boolean;
}

const ids: MessageIds = {
  trace: -1,
  twist: -1,
  sender: -1,
  sender_end: -1,
  id: -1,
  id_end: -1,
  is_whole: false,
};
/** The bytes of these ids: several callers read a message's ids in a row. */
let walked: Uint8Array | undefined;

/** The position after the last `varint`; a closure in each call would be garbage. */
let next = 0;

function varint(bytes: Uint8Array, from: number): number {
  let value = 0;
  next = from;
  for (let scale = 1; next < bytes.length; scale *= 128) {
    const byte = bytes[next++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  return value;
}

function isTwist(bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < TWIST_NAME.length; index++) {
    if ((bytes[start + 2 + index]! | 0x20) !== (TWIST_NAME[index]! | 0x20)) return false;
  }
  return bytes[start + 3 + TWIST_NAME.length] === UUID_TEXT;
}

/**
 * The positions of an envelope's ids, until the next call with another one. Its bytes must not change. Never throws.
 */
export function idsOf(bytes: Uint8Array): Readonly<MessageIds> {
  if (bytes === walked) return ids;
  walked = bytes;
  ids.trace =
    ids.twist =
    ids.sender =
    ids.sender_end =
    ids.id =
    ids.id_end =
      -1;
  ids.is_whole = false;
  const { length: end } = bytes;
  for (let at = 0; at < end;) {
    // Most tags and lengths are one byte.
    let tag = bytes[at++]!;
    if (tag > 0x7f) {
      tag = varint(bytes, at - 1);
      at = next;
    }
    let length = at < end ? bytes[at++]! : 0;
    if (length > 0x7f) {
      length = varint(bytes, at - 1);
      at = next;
    }
    if (tag % 8 === 0) continue;
    const start = at;
    // The comparison is false, too, if an overlong varint has made `length` NaN.
    if (tag % 8 !== 2 || !(start + length <= end)) return ids;
    at = start + length;
    if (tag === TRACE_ID && length === TRACE_TEXT) ids.trace = start;
    else if (tag === HEADER && length === TWIST_ENTRY && isTwist(bytes, start)) {
      ids.twist = at - UUID_TEXT;
    } else if (tag === SENDER_ID) {
      ids.sender = start;
      ids.sender_end = at;
    } else if (tag === MESSAGE_ID) {
      // An empty id is no id.
      ids.id = length > 0 ? start : -1;
      ids.id_end = at;
    }
  }
  ids.is_whole = true;
  return ids;
}
