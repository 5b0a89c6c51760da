/** Constants of the wire format. The file has no imports, so that bundlers inline them. */

/** Wire types, the low three bits of a tag. Groups (3 and 4) are refused everywhere. */
export const WIRE_VARINT = 0;
/** Eight bytes; none of our fields has it, so it is only skipped. */
export const WIRE_FIXED64 = 1;
/** A length and that many bytes: text, bytes, embedded messages, map entries. */
export const WIRE_BYTES = 2;
/** Four bytes; none of our fields has it, so it is only skipped. */
export const WIRE_FIXED32 = 5;
/** The most bytes of a tag or a length, as in the runtimes of Google and Buf: 32 bits. */
export const PREFIX_BYTES_MAX = 5;
/** The most bytes of any varint: 64 bits. */
export const VARINT_BYTES_MAX = 10;
/** The size of a writer's first buffer, which fits most envelopes and every control message. */
export const SPARE_BYTES = 4_096;
/** A larger buffer is not reused by the next writer. */
export const SPARE_LIMIT_BYTES = 65_536;
/** The highest known field number that `seenOnce` can keep in one 32-bit mask. */
export const MASK_BITS = 31;
/** Up to this many bytes, ASCII text is decoded here: one call of TextDecoder costs about 400 ns. */
export const SHORT_TEXT_BYTES = 64;
/** The most bytes of a PING or PONG body, as in WebSocket. */
export const PING_BYTES = 125;
/** Envelope tags from this one on are the sender's; those below are the Shield's. */
export const TAG_OWNED = 0x50;
