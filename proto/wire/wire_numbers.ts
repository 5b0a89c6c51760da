/**
 * Numbers of the wire format. In a file without imports, from which a bundler puts them where they are
 * used.
 */

/** Wire types, the low three bits of a tag. Groups (3 and 4) are refused everywhere. */
export const WIRE_VARINT = 0;
/** Eight bytes; no field of ours has it, so it is only passed over. */
export const WIRE_FIXED64 = 1;
/** A length and that many bytes: text, bytes, embedded messages, map entries. */
export const WIRE_BYTES = 2;
/** Four bytes; no field of ours has it, so it is only passed over. */
export const WIRE_FIXED32 = 5;
/** Most bytes of a tag or a length, as in the readers of Google and Buf: 32 bits. */
export const PREFIX_BYTES_MAX = 5;
/** Most bytes of any varint: 64 bits. */
export const VARINT_BYTES_MAX = 10;
/** A writer's first buffer; most envelopes and every control message fit. */
export const SPARE_BYTES = 4_096;
/** A larger buffer is not kept for the next writer. */
export const SPARE_LIMIT_BYTES = 65_536;
/** The highest known field number that `seenOnce` can keep in one 32-bit mask. */
export const MASK_BITS = 31;
/** Up to this many bytes, ASCII text is decoded here: one call of TextDecoder costs about 400 ns. */
export const SHORT_TEXT_BYTES = 64;
/** Most bytes of a PING or PONG body, as in WebSocket. */
export const PING_BYTES = 125;
/** Tags of an envelope from here on are its sender's; those before are the Shield's. */
export const TAG_OWNED = 0x50;
