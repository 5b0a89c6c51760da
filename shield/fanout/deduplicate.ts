/**
 * Remembers message ids for two minutes, so that a message that was retried after a lost answer
 * reaches a subscriber once (docs/protocol.md#deduplication). Bounded: when full, the oldest ids are forgotten first.
 */
export const DEDUPLICATION_MS = 120_000;

/** The ids of one tenant's messages, with the time each was first seen: monotonic ms. */
export class SeenMessages {
  /** Key to the time it was seen; a Map keeps insertion order, so the oldest come first. */
  readonly #seen = new Map<string, number>();
  readonly #entries_max: number;

  constructor(entries_max: number) {
    this.#entries_max = entries_max;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** True when `key` was seen less than two minutes before `now_ms`; remembers it otherwise. */
  repeated(key: string, now_ms: number): boolean {
    const before = this.#seen.get(key);
    if (before !== undefined && now_ms - before < DEDUPLICATION_MS) return true;
    this.#seen.delete(key);
    this.#seen.set(key, now_ms);
    this.#forget(now_ms);
    return false;
  }

  #forget(now_ms: number): void {
    for (const [key, seen_ms] of this.#seen) {
      const keep = this.#seen.size <= this.#entries_max && now_ms - seen_ms < DEDUPLICATION_MS;
      if (keep) return;
      this.#seen.delete(key);
    }
  }
}

/** Tags of length-delimited fields: number times 8 plus 2. */
const SENDER_ID = 8 * 8 + 2;
const MESSAGE_ID = 11 * 8 + 2;

// A byte order mark is part of an id; without this option two ids could become one.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The position at which `varint` reads next. It is kept here, as a closure in each call would be
 * garbage of each message.
 */
let at = 0;

function varint(envelope: Uint8Array): number {
  let value = 0;
  for (let scale = 1; at < envelope.length; scale *= 128) {
    const byte = envelope[at++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  return value;
}

/**
 * The key of an envelope: its sender and message id; "" without a message id. A line break separates
 * the two, which no sender contains: otherwise "a b" with id "c" would have the same key as "a" with id
 * "b c". Walks tags and lengths only; bytes that it cannot walk to their end have no key. Never throws.
 */
export function messageKey(envelope: Uint8Array): string {
  at = 0;
  // Most messages have no id, so nothing is decoded before one is found.
  let sender = 0, sender_end = 0, id = 0, id_end = 0;
  while (at < envelope.length) {
    const tag = varint(envelope);
    const length = varint(envelope);
    if (tag % 8 === 0) continue;
    const start = at;
    const end = start + length;
    // This is true, too, when an overlong varint has made `length` NaN.
    if (tag % 8 !== 2 || !(end <= envelope.length)) return "";
    if (tag === SENDER_ID) [sender, sender_end] = [start, end];
    if (tag === MESSAGE_ID) [id, id_end] = [start, end];
    at = end;
  }
  if (id === id_end) return "";
  const text = decoder.decode(envelope.subarray(sender, sender_end));
  return `${text}\n${decoder.decode(envelope.subarray(id, id_end))}`;
}
