/**
 * A receiver of the show of deltas: whatever it hears is held against what was published, byte for byte. How it
 * comes by its messages is `receivers.ts`.
 */
import assert from "node:assert/strict";
import type { Feed, Shown } from "./feed.ts";

/** What a receiver is. */
export interface ReceiverKind {
  readonly name: string;
  /** Whether it asks for a message. */
  wants(shown: Shown): boolean;
  /** Whether it misses nothing. Others lose frames or connections, or are away at times. */
  readonly is_whole: boolean;
}

/** What one receiver heard. */
export class Receiver {
  readonly kind: ReceiverKind;
  readonly #feed: Feed;
  readonly #last = new Map<string, number>();
  /** How many messages it should have heard, and has. */
  wanted = 0;
  heard = 0;
  gaps = 0;
  /** What it found that must not be. */
  wrong: unknown;
  /** It has heard that nothing more comes. */
  has_ended = false;

  constructor(kind: ReceiverKind, feed: Feed) {
    this.kind = kind;
    this.#feed = feed;
  }

  published(shown: Shown): void {
    if (this.kind.wants(shown)) this.wanted++;
  }

  /** Whether it has all that it will get of what was published. */
  get is_done(): boolean {
    return this.wrong !== undefined || !this.kind.is_whole || this.heard === this.wanted;
  }

  gap(reason = ""): void {
    this.gaps++;
    if (this.kind.is_whole) this.wrong ??= new Error(`a gap: ${reason}`);
  }

  hear(room: string, type: string, data: Uint8Array, header: string | undefined): void {
    if (type === "end") return void (this.has_ended = true);
    try {
      const n = Number(header);
      const shown = this.#feed.made(n);
      assert.ok(shown, `message ${n}, which nobody published`);
      assert.equal(room, shown.room);
      assert.ok(this.kind.wants(shown), `message ${n}, which it did not ask for`);
      const last = this.#last.get(room) ?? -1;
      assert.ok(n > last, `message ${n} after ${last}`);
      this.#last.set(room, n);
      assert.ok(isSame(data, shown.data), `message ${n} with other bytes`);
      this.heard++;
    } catch (error) {
      this.wrong ??= error;
    }
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
