/**
 * A receiver of the show of deltas: whatever it hears is held against what was published, byte for byte, and
 * what it does not hear against what it may miss. How it comes by its messages is `receivers.ts`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Feed, Shown } from "./feed.ts";

/**
 * What a receiver may miss: nothing; what a GAP tells of; what a newer message of the same key says; or
 * anything, as frames are lost that nobody can tell of.
 */
export type Misses = "nothing" | "told" | "older" | "anything";

/** What a receiver is. */
export interface ReceiverKind {
  readonly name: string;
  /** Whether it asks for a message. */
  wants(shown: Shown): boolean;
  readonly misses: Misses;
}

/** The messages of one order, those of a room or of a key in it, that are still to come. */
class Awaited {
  /** In their order. */
  readonly numbers: number[] = [];
  /** A GAP has come since the last message. */
  is_told = false;
  /** What was published before a connection was lost need not come. */
  lost_until = -1;

  get is_done(): boolean {
    return (this.numbers.at(-1) ?? -1) <= this.lost_until;
  }

  /** How many it has missed before this message; undefined: it is not one that was to come. */
  take(n: number): number | undefined {
    if (n < (this.numbers[0] ?? Infinity)) return undefined;
    for (let missed = 0;; missed++) {
      const next = this.numbers.shift();
      if (next === n) return missed;
      if (next === undefined || next > n) return undefined;
    }
  }
}

/** What one receiver heard. */
export class Receiver {
  readonly kind: ReceiverKind;
  readonly #feed: Feed;
  readonly #last = new Map<string, number>();
  readonly #awaited = new Map<string, Awaited>();
  /** How many messages it should have heard, has heard, and knows that it has missed. */
  wanted = 0;
  heard = 0;
  missed = 0;
  gaps = 0;
  /** What it found that must not be. */
  wrong: unknown;
  /** It has heard that nothing more comes. */
  has_ended = false;
  /** It does not read at the moment. */
  is_paused = false;

  constructor(kind: ReceiverKind, feed: Feed) {
    this.kind = kind;
    this.#feed = feed;
  }

  published(shown: Shown): void {
    if (!this.kind.wants(shown)) return;
    this.wanted++;
    if (this.kind.misses === "anything") return;
    const place = this.#placeOf(shown);
    let awaited = this.#awaited.get(place);
    if (awaited === undefined) this.#awaited.set(place, awaited = new Awaited());
    awaited.numbers.push(shown.n);
  }

  /** Whether it has all that it will get of what was published. */
  get is_done(): boolean {
    if (this.wrong !== undefined || this.is_paused) return true;
    return [...this.#awaited.values()].every(({ is_done }) => is_done);
  }

  /** A GAP of a room, or of a pattern. */
  gap(room: string, reason = ""): void {
    this.gaps++;
    const { misses } = this.kind;
    if (misses === "anything") return;
    if (misses === "nothing" || reason === "delta") this.wrong ??= new Error(`a gap: ${reason}`);
    const prefix = room.endsWith("*") ? room.slice(0, -1) : `${room}`;
    for (const [place, awaited] of this.#awaited) {
      if (!place.startsWith(prefix)) continue;
      awaited.is_told = true;
      if (reason === "reconnect") awaited.lost_until = awaited.numbers.at(-1) ?? -1;
    }
  }

  hear(room: string, type: string, data: Uint8Array, header: string | undefined): void {
    if (type === "end") return void (this.has_ended = true);
    try {
      const n = Number(header);
      const shown = this.#feed.made(n);
      assert.ok(shown, `message ${n}, which nobody published`);
      assert.equal(room, shown.room);
      assert.ok(this.kind.wants(shown), `message ${n}, which it did not ask for`);
      this.#inOrder(shown);
      assert.ok(Buffer.compare(data, shown.data) === 0, `message ${n} with other bytes`);
      this.heard++;
    } catch (error) {
      this.wrong ??= error;
    }
  }

  #inOrder(shown: Shown): void {
    const { n } = shown;
    const place = this.#placeOf(shown);
    const last = this.#last.get(place) ?? -1;
    assert.ok(n > last, `message ${n} after ${last}`);
    this.#last.set(place, n);
    const awaited = this.#awaited.get(place);
    if (awaited === undefined) return;
    const missed = awaited.take(n);
    assert.ok(missed !== undefined, `message ${n}, which was not to come`);
    this.missed += missed;
    const may_miss = this.kind.misses === "older" || awaited.is_told;
    assert.ok(missed === 0 || may_miss, `${missed} missing before ${n}, and nobody told`);
    awaited.is_told = false;
  }

  #placeOf({ room, key }: Shown): string {
    return this.kind.misses === "older" ? `${room} ${key}` : room;
  }
}
