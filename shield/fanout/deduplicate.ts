/**
 * Remembers message ids for two minutes, so that a message that was retried after a lost answer reaches a subscriber
 * once (docs/protocol.md#deduplication). Limited: when full, the oldest ids are dropped first.
 */
import { idsOf } from "../message/message_ids.ts";

/** How long an id is remembered. */
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

// A byte order mark is part of an id; without this option two ids could become one.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The key of an envelope: its sender and message id; "" without a message id. A line break separates
 * the two, which no sender contains: otherwise "a b" with id "c" would have the same key as "a" with id
 * "b c". Bytes that cannot be walked to their end have no key. Never throws.
 */
export function messageKey(envelope: Uint8Array): string {
  const { sender, sender_end, id, id_end, is_whole } = idsOf(envelope);
  if (id < 0 || !is_whole) return "";
  const text = sender < 0 ? "" : decoder.decode(envelope.subarray(sender, sender_end));
  return `${text}\n${decoder.decode(envelope.subarray(id, id_end))}`;
}
